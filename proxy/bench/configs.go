package main

import "fmt"

// configs write a proxy's configuration and its arguments but the file: the
// same job for each, with kept upstream connections and buffered logs.
var configs = map[string]func(dir, shared, upstream string, port int, logging bool) (string, []string){
	"towline": func(dir, _, _ string, port int, logging bool) (string, []string) {
		logDir := ""
		if logging {
			logDir = dir + "/log"
		}
		return fmt.Sprintf(`[proxy]
http = ""
https = "127.0.0.1:%d"
control = "%s/control.sock"
state = "%s/state"
access_log = %q
metrics = "127.0.0.1:0"
[tls]
acme = ""
`, port, dir, dir, logDir), []string{"--config"}
	},
	"nginx": func(dir, shared, upstream string, port int, logging bool) (string, []string) {
		access := "off"
		if logging {
			access = dir + "/access.log combined buffer=32k flush=1s"
		}
		return fmt.Sprintf(`worker_processes auto;
daemon off;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 20000; }
http {
  access_log %[2]s;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_requests 100000000; keepalive_timeout 600; client_max_body_size 0;
  upstream app { server %[3]s; keepalive 256; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:%[4]d ssl http2;
    server_name bench.localhost;
    ssl_certificate %[5]s/c.crt; ssl_certificate_key %[5]s/c.key; ssl_protocols TLSv1.3;
    http2_max_concurrent_streams 250;
    location / {
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Request-Id $request_id; proxy_set_header X-Request-Start $msec;
      proxy_buffers 16 16k; proxy_busy_buffers_size 64k; proxy_request_buffering off; proxy_max_temp_file_size 0;
    }
    location /socket {
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection upgrade; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host $host; proxy_read_timeout 600s;
    }
  }
}
`, dir, access, upstream, port, shared), []string{"-c"}
	},
	"haproxy": func(dir, shared, upstream string, port int, logging bool) (string, []string) {
		global, front := "", ""
		if logging {
			global, front = "  log stdout format raw local0 info\n", "  log global\n  option httplog\n"
		}
		return fmt.Sprintf(`global
%[1]s  nbthread 2
  maxconn 10500
  no strict-limits
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  timeout tunnel 600s
  http-reuse always
frontend f
%[2]s  bind 127.0.0.1:%[3]d ssl crt %[4]s/c.pem alpn h2,http/1.1 ssl-min-ver TLSv1.3
  option forwardfor
  http-request set-header X-Forwarded-Proto https
  http-request set-header X-Request-Id %%[uuid()]
  default_backend b
backend b
  server s %[5]s
`, global, front, port, shared, upstream), []string{"-f"}
	},
	"caddy": func(dir, shared, upstream string, port int, logging bool) (string, []string) {
		access := ""
		if logging {
			access = "log {\n output file " + dir + "/access.log\n }\n"
		}
		return fmt.Sprintf(`{
  admin off
  auto_https off
  persist_config off
}
https://bench.localhost:%d {
  bind 127.0.0.1
  tls %s/c.crt %s/c.key
  %s
  reverse_proxy %s
}
`, port, shared, shared, access, upstream), []string{"run", "--adapter", "caddyfile", "--config"}
	},
}
