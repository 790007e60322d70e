// Testapp is the web application that Towline's end-to-end tests deploy. It
// tells which release it is, and misbehaves when asked.
//
// Environment: PORT (default 3000); VERSION or the file VERSION in its working
// directory: what / says; TOWLINE_RELEASE, TOWLINE_PROCESS: said too;
// BOOT_DELAY_MS: how long it takes to listen; FAIL_BOOT=1: it exits 1 instead;
// STOP_DELAY_MS: how long it takes to end after its requests are done.
//
// Arguments: none, or worker: it prints a line a second until told to stop.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	fmt.Printf("testapp %s starts as %s\n", version(), os.Getenv("TOWLINE_PROCESS"))
	if os.Getenv("FAIL_BOOT") == "1" {
		fmt.Fprintln(os.Stderr, "testapp: told to fail at boot")
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		work(stop)
		return
	}
	if err := serve(stop); err != nil {
		fmt.Fprintln(os.Stderr, "testapp:", err)
		os.Exit(1)
	}
}

// serve listens until stop, then finishes the requests it has.
func serve(stop context.Context) error {
	wait(stop, milliseconds("BOOT_DELAY_MS"))
	if stop.Err() != nil {
		return nil
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "3000"
	}
	server := &http.Server{Addr: ":" + port, Handler: routes(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	fmt.Println("testapp listens on port", port)
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	fmt.Println("testapp stops")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := server.Shutdown(ctx)
	wait(ctx, milliseconds("STOP_DELAY_MS"))
	return err
}

func work(stop context.Context) {
	for n := 1; stop.Err() == nil; n++ {
		fmt.Println("worker tick", n)
		wait(stop, time.Second)
	}
	fmt.Println("worker stops")
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", hello)
	mux.HandleFunc("/up", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/env/{name}", env)
	mux.HandleFunc("/headers", headers)
	mux.HandleFunc("/echo", echo)
	mux.HandleFunc("/status/{code}", status)
	mux.HandleFunc("/slow", slow)
	mux.HandleFunc("/stream", stream)
	mux.HandleFunc("/log", logLine)
	mux.HandleFunc("/crash", func(http.ResponseWriter, *http.Request) { os.Exit(1) })
	mux.HandleFunc("/kill", func(http.ResponseWriter, *http.Request) { kill() })
	mux.HandleFunc("/eat", eat)
	mux.HandleFunc("/ws", echoWebSocket)
	return mux
}

// hello says, one to a line, what a test wants to tell releases apart by.
func hello(w http.ResponseWriter, r *http.Request) {
	host, _ := os.Hostname()
	fmt.Fprintf(w, "version=%s\nrelease=%s\nps=%s\ncontainer=%s\nhost=%s\n",
		version(), os.Getenv("TOWLINE_RELEASE"), os.Getenv("TOWLINE_PROCESS"), host, r.Host)
}

func env(w http.ResponseWriter, r *http.Request) {
	value, found := os.LookupEnv(r.PathValue("name"))
	if !found {
		http.Error(w, "not set", http.StatusNotFound)
		return
	}
	fmt.Fprintln(w, value)
}

// headers answers with the request as it arrived.
func headers(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "host": r.Host, "uri": r.RequestURI, "proto": r.Proto, "remote": r.RemoteAddr, "headers": r.Header,
	})
}

func echo(w http.ResponseWriter, r *http.Request) {
	// Else net/http throws away what comes after the answer has begun.
	_ = http.NewResponseController(w).EnableFullDuplex()
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	_, _ = io.Copy(w, r.Body)
}

func status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		http.Error(w, "a status from 200 to 599", http.StatusBadRequest)
		return
	}
	w.WriteHeader(code)
}

// slow answers after ?ms= milliseconds.
func slow(w http.ResponseWriter, r *http.Request) {
	ms, _ := strconv.Atoi(r.FormValue("ms"))
	wait(r.Context(), time.Duration(ms)*time.Millisecond)
	fmt.Fprintf(w, "slept %d ms\nversion=%s\n", ms, version())
}

// stream sends ?n= lines, one each ?ms= milliseconds, each flushed.
func stream(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.FormValue("n"))
	ms, _ := strconv.Atoi(r.FormValue("ms"))
	flush := http.NewResponseController(w)
	for i := range n {
		fmt.Fprintln(w, "line", i+1)
		if flush.Flush() != nil || r.Context().Err() != nil {
			return
		}
		wait(r.Context(), time.Duration(ms)*time.Millisecond)
	}
}

// logLine prints ?text= on standard output, or with ?to=stderr on the other.
func logLine(w http.ResponseWriter, r *http.Request) {
	out := os.Stdout
	if r.FormValue("to") == "stderr" {
		out = os.Stderr
	}
	fmt.Fprintln(out, r.FormValue("text"))
	fmt.Fprintln(w, "logged")
}

// kill ends the process as the kernel's out-of-memory killer would.
func kill() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// eat takes ?mb= megabytes of memory, in pieces, and keeps them.
func eat(w http.ResponseWriter, r *http.Request) {
	mb, _ := strconv.Atoi(r.FormValue("mb"))
	var eaten [][]byte
	for range mb {
		piece := make([]byte, 1<<20)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		eaten = append(eaten, piece)
	}
	fmt.Fprintf(w, "ate %d MB\n", len(eaten))
}

func version() string {
	if v := os.Getenv("VERSION"); v != "" {
		return v
	}
	text, err := os.ReadFile("VERSION")
	if errors.Is(err, os.ErrNotExist) {
		return "unnamed"
	}
	return strings.TrimSpace(string(text))
}

func milliseconds(name string) time.Duration {
	ms, _ := strconv.Atoi(os.Getenv(name))
	return time.Duration(ms) * time.Millisecond
}

// wait returns after d, or when ctx is done.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
