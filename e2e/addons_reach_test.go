package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"towline/e2e/stack"
)

// openPage opens an add-on's page and returns its address and the login to it.
func openPage(t *testing.T, s *stack.Stack, addon string, flags ...string) (*url.URL, *url.Userinfo) {
	t.Helper()
	var page struct{ URL, User, Password string }
	if err := json.Unmarshal([]byte(admin(t, s, "addons:open --json "+strings.Join(append(flags, addon), " "))), &page); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(page.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u, url.UserPassword(page.User, page.Password)
}

func fetchPage(s *stack.Stack, page url.URL, login *url.Userinfo) (*http.Response, error) {
	client, err := s.Client(false)
	if err != nil {
		return nil, err
	}
	page.User = login
	return client.Get(page.String())
}

func getPage(t *testing.T, s *stack.Stack, page url.URL, login *url.Userinfo) (status int, body string) {
	t.Helper()
	resp, err := fetchPage(s, page, login)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// neo4jBrowser opens Neo4j's own page, with Bolt on the same host, and closes it again.
func neo4jBrowser(t *testing.T, s *stack.Stack, addon string, config map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	bolt := url.UserPassword(config["GRAPHENEDB_BOLT_USER"], config["GRAPHENEDB_BOLT_PASSWORD"])
	_, stale := openPage(t, s, addon)
	page, login := openPage(t, s, addon)
	if want := "bolt+s://" + page.Host; page.Query().Get("dbms") != want {
		t.Errorf("the page is at %s; it should connect to %s", page, want)
	}
	for _, wrong := range []*url.Userinfo{nil, stale, url.UserPassword(login.Username(), "wrong")} {
		if status, _ := getPage(t, s, *page, wrong); status != http.StatusUnauthorized {
			t.Errorf("the page with login %v: %d", wrong, status)
		}
	}
	if status, body := getPage(t, s, *page, login); status != http.StatusOK || !strings.Contains(strings.ToLower(body), "neo4j browser") {
		t.Errorf("the page: %d %.300s", status, body)
	}
	// The browser asks there for the Bolt port, and would be told one that is not open to it.
	root := *page
	root.Path, root.RawQuery = "/", ""
	if status, _ := getPage(t, s, root, login); status != http.StatusNotFound {
		t.Errorf("what is not the page: %d", status)
	}
	if _, err := s.OpenBolt(ctx, page, nil, bolt); err == nil {
		t.Error("Bolt without the page's login")
	}
	if _, err := s.OpenBolt(ctx, page, login, url.UserPassword("neo4j", "wrong")); err == nil {
		t.Error("Bolt with a wrong password")
	}
	session, err := s.OpenBolt(ctx, page, login, bolt)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	// The container's address is another one after a restart.
	admin(t, s, "addons:restart "+addon)
	session.Ended()
	if session, err = s.OpenBolt(ctx, page, login, bolt); err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if status, _ := getPage(t, s, *page, login); status != http.StatusOK {
		t.Errorf("the page after a restart: %d", status)
	}
	admin(t, s, "addons:open --close "+addon)
	session.Ended()
	// The proxy shakes hands for names that lead somewhere, and for no other.
	if resp, err := fetchPage(s, *page, login); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("the closed page: %d", resp.StatusCode)
		}
	}
	if strings.Contains(s.DaemonLog(), fmt.Sprint(login)) {
		t.Error("the password is in the daemon's log")
	}
}

// TestOpenPageOutlivesTheDaemon: a page is served while the daemon is dead, found again
// when it is back, and closed at its time.
func TestOpenPageOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a minute: no page is open for less")
	}
	s, err := stack.Start(t.Context(), stack.Options{KeyExchange: keyExchange})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	admin(t, s, "apps:create shop")
	admin(t, s, "addons:create neo4j -a shop")
	began := time.Now()
	page, login := openPage(t, s, "neo4j-shop", "--for", "1m")
	serves := func(when string) {
		t.Helper()
		if status, _ := getPage(t, s, *page, login); status != http.StatusOK {
			t.Errorf("%s: %d", when, status)
		}
	}
	serves("open")
	if err := s.Kill9Daemon(); err != nil {
		t.Fatal(err)
	}
	serves("the daemon is dead")
	if err := s.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	serves("the daemon is back")
	// It died while the service did too: the page follows it.
	if _, err := stack.Podman("kill", s.Name+"-addon-neo4j-shop.1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		resp, err := fetchPage(s, *page, login)
		if err != nil {
			return err.Error()
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return "the service is back: " + resp.Status
		}
		return ""
	})
	time.Sleep(time.Until(began.Add(time.Minute))) // nothing is to happen before
	eventually(t, func() string {
		if resp, err := fetchPage(s, *page, login); err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusNotFound {
				return "its time is over: " + resp.Status
			}
		}
		return ""
	})
	if r := s.SSH(t.Context(), stack.Admin, nil, "addons:open --close neo4j-shop"); r.Code != 6 {
		t.Errorf("closing it again: %s", r)
	}
}

// forwardRedis runs the program that a member has on the laptop.
func forwardRedis(t *testing.T, s *stack.Stack, addon, raw string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.Dir, "bin", "towline"), "addons:forward", addon, "--port", "0", "--json")
	cmd.Env = append(os.Environ(), storyEnv(s, stack.Admin)...)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	var place struct{ Address string }
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(line), &place); err != nil {
		t.Fatal(err)
	}
	options, err := redis.ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	options.Addr, options.MaxRetries, options.PoolSize, options.ReadTimeout = place.Address, -1, 12, time.Minute
	client := redis.NewClient(options)
	// More at a time than sshd allows sessions of one connection.
	var clients sync.WaitGroup
	for i := range 12 {
		clients.Go(func() {
			conn := client.Conn()
			defer conn.Close()
			if err := conn.Set(t.Context(), fmt.Sprint("forward", i), i, 0).Err(); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	clients.Wait()
	client.Close()
	// The end of one direction is passed on, and what is still to come from the other arrives.
	conn, err := net.Dial("tcp", place.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "-NOAUTH") {
		t.Errorf("half-closed: %q %v", answer, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if again, err := net.Dial("tcp", place.Address); err == nil {
		again.Close()
		t.Error("it still listens")
	}
}
