// Package database talks to a real Redis or Neo4j, as much as tests of backups need:
// numbered records go in, and their count and highest number come out.
package database

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Database is one service. A restore gives it another address, which is looked up when
// a connection is made.
type Database struct {
	service  string
	password string
	user     string
	address  func() (string, error)
	client   http.Client
	mu       sync.Mutex
	conn     net.Conn
	reader   *bufio.Reader
	known    string // address
}

// Open reads a config var. address finds the IP address of the service.
func Open(variable string, address func() (string, error)) *Database {
	u, err := url.Parse(variable)
	if err != nil {
		panic(err)
	}
	password, _ := u.User.Password()
	service := "neo4j"
	if u.Scheme == "redis" {
		service = "redis"
	}
	return &Database{service: service, user: u.User.Username(), password: password, address: address,
		client: http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Second}}}
}

// Add stores record n. It returns once the service has acknowledged it.
func (d *Database) Add(n int64) error {
	if d.service == "redis" {
		_, err := d.redis("SET", fmt.Sprintf("record:%d", n), strings.Repeat(strconv.FormatInt(n, 10), 20))
		return err
	}
	_, err := d.Cypher("MERGE (r:Record {n: $n}) SET r.text = $text", map[string]any{"n": n, "text": strings.Repeat("x", 100)})
	return err
}

// Fill stores so many megabytes that do not compress, beside the records.
func (d *Database) Fill(megabytes int) error {
	b := make([]byte, 1<<19)
	for i := range 2 * megabytes {
		if _, err := rand.Read(b); err != nil {
			return err
		}
		var err error
		if d.service == "redis" {
			_, err = d.redis("SET", fmt.Sprintf("filler:%d", i), string(b))
		} else {
			_, err = d.Cypher("UNWIND range(1, 256) AS i CREATE (:Filler {n: i, text: substring($text, i * 4000, 4000)})",
				map[string]any{"text": hex.EncodeToString(b)})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Last is the highest record, and how many there are.
func (d *Database) Last() (last, count int64, err error) {
	d.Close() // it may have another address now
	if d.service == "redis" {
		size, err := d.redis("DBSIZE")
		if err != nil {
			return 0, 0, err
		}
		if count, err = strconv.ParseInt(size, 10, 64); err != nil {
			return 0, 0, err
		}
		// Records are dense, or the count tells.
		for last = count; last >= 0; last-- {
			there, err := d.redis("EXISTS", fmt.Sprintf("record:%d", last))
			if err != nil || there == "1" || last == 0 {
				return last, count, err
			}
		}
		return 0, count, nil
	}
	row, err := d.Cypher("MATCH (r:Record) RETURN coalesce(max(r.n), 0), count(r)", nil)
	if err != nil {
		return 0, 0, err
	}
	return int64(row[0].(float64)), int64(row[1].(float64)), nil
}

// Cypher runs one statement over HTTP and returns its first row.
func (d *Database) Cypher(statement string, parameters map[string]any) ([]any, error) {
	address, err := d.where()
	if err != nil {
		return nil, err
	}
	if parameters == nil {
		parameters = map[string]any{}
	}
	body, err := json.Marshal(map[string]any{"statements": []any{map[string]any{"statement": statement, "parameters": parameters}}})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+net.JoinHostPort(address, "7474")+"/db/neo4j/tx/commit", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(d.user, d.password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Results []struct {
			Data []struct{ Row []any }
		}
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%s: %.200s", resp.Status, text)
	}
	if len(answer.Errors) > 0 {
		return nil, fmt.Errorf("%s: %s", answer.Errors[0].Code, answer.Errors[0].Message)
	}
	if len(answer.Results) == 0 || len(answer.Results[0].Data) == 0 {
		return nil, nil
	}
	return answer.Results[0].Data[0].Row, nil
}

// where is the address, looked up once for each connection.
func (d *Database) where() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known != "" {
		return d.known, nil
	}
	address, err := d.address()
	d.known = address
	return address, err
}

// Close ends the connections.
func (d *Database) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		d.conn.Close()
		d.conn = nil
	}
	d.known = ""
	d.client.CloseIdleConnections()
}

// redis sends a command, in Redis' own protocol, and returns a simple answer.
func (d *Database) redis(args ...string) (string, error) {
	if d.conn == nil {
		address, err := d.where()
		if err != nil {
			return "", err
		}
		conn, err := net.Dial("tcp", net.JoinHostPort(address, "6379"))
		if err != nil {
			return "", err
		}
		d.conn, d.reader = conn, bufio.NewReader(conn)
		if _, err := d.exchange("AUTH", d.user, d.password); err != nil {
			return "", err
		}
	}
	return d.exchange(args...)
}

func (d *Database) exchange(args ...string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(d.conn, b.String()); err != nil {
		return "", err
	}
	line, err := d.reader.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "-") {
		return "", fmt.Errorf("redis: %s", line[1:])
	}
	return strings.TrimLeft(line, "+:"), nil
}
