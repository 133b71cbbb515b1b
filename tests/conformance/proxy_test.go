package conformance

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	moduleName   = "example.org/tck"
	readyTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
)

const staticConfiguration = `
entryPoints:
  web:
    address: "%s"
global:
  checkNewVersion: false
log:
  level: INFO
providers:
  file:
    filename: dynamic.yml
experimental:
  localPlugins:
    tck:
      moduleName: ` + moduleName + `
`

const dynamicConfiguration = `
http:
  routers:
    tck:
      rule: PathPrefix(` + "`/`" + `)
      service: backend
      middlewares: [tck]
  middlewares:
    tck:
      plugin:
        tck: {}
  services:
    backend:
      loadBalancer:
        servers:
          - url: "%s"
`

const manifest = `
displayName: TCK
type: middleware
runtime: wasm
wasmPath: plugin.wasm
summary: The compatibility kit's guest
testData: {}
`

// logBuffer collects what the proxy prints; its process writes while the test reads.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// proxyPath is the program under test: $WEIR or the tree's own build.
func proxyPath(t *testing.T) string {
	t.Helper()
	path := os.Getenv("WEIR")
	if path == "" {
		path = filepath.Join("..", "..", "build", "weir")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no proxy to test: %v (set WEIR)", err)
	}
	return path
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func waitReady(t *testing.T, address string, exited <-chan error, output *logBuffer) {
	t.Helper()
	deadline := time.Now().Add(readyTimeout)
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case err := <-exited:
			t.Fatalf("proxy ended before it listened: %v\n%s", err, output)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("proxy does not listen on %s: %v\n%s", address, err, output)
		}
	}
}

// startProxy runs the proxy with the guest in front of backendURL and returns its base URL.
func startProxy(t *testing.T, guest []byte, backendURL string) (string, *logBuffer) {
	t.Helper()
	dir := t.TempDir()
	address := freeAddress(t)
	plugin := filepath.Join(dir, "plugins-local", "src", moduleName)
	writeFile(t, filepath.Join(plugin, ".traefik.yml"), manifest)
	writeFile(t, filepath.Join(plugin, "plugin.wasm"), string(guest))
	writeFile(t, filepath.Join(dir, "static.yml"), fmt.Sprintf(staticConfiguration, address))
	writeFile(t, filepath.Join(dir, "dynamic.yml"), fmt.Sprintf(dynamicConfiguration, backendURL))
	return "http://" + address, runProxy(t, dir, address)
}

// runProxy runs the proxy in a directory with its files. At the end of the test it must stop on SIGTERM with exit code 0.
func runProxy(t *testing.T, dir, address string) *logBuffer {
	t.Helper()
	output := &logBuffer{}
	command := exec.Command(proxyPath(t), "--configFile=static.yml")
	command.Dir = dir
	command.Stdout = output
	command.Stderr = output
	// Compiled plugins are not to be kept among the user's own.
	if _, set := os.LookupEnv("CACHE_DIRECTORY"); !set {
		command.Env = append(os.Environ(), "CACHE_DIRECTORY="+dir)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	t.Cleanup(func() { stopProxy(t, command, exited, output) })
	waitReady(t, address, exited, output)
	return output
}

func stopProxy(t *testing.T, command *exec.Cmd, exited <-chan error, output *logBuffer) {
	t.Helper()
	_ = command.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("proxy did not end well: %v\n%s", err, output)
		}
	case <-time.After(stopTimeout):
		_ = command.Process.Kill()
		t.Errorf("proxy did not stop within %v of SIGTERM\n%s", stopTimeout, output)
	}
	if t.Failed() {
		t.Logf("the proxy's output:\n%s", output)
	}
}
