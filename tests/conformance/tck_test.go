// Package conformance runs the http-wasm compatibility kit against the proxy with stricter assertions than its own: the
// kit takes any status but 500 for success, and a proxy's answer can hide what the guest reported.
package conformance

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/http-wasm/http-wasm-host-go/tck"
)

const (
	testIDHeader  = "x-httpwasm-tck-testid"
	failedHeader  = "x-httpwasm-tck-failed"
	handledHeader = "x-httpwasm-tck-handled"
	caseCount     = 35
)

// upstream records what each case's request carried and answers as the kit's backend does.
type upstream struct {
	mu     sync.Mutex
	bodies map[string][][]byte
	kit    http.Handler
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	id := r.Header.Get(testIDHeader)
	if err != nil {
		id += " (broken body: " + err.Error() + ")"
	}
	u.mu.Lock()
	u.bodies[id] = append(u.bodies[id], body)
	u.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	u.kit.ServeHTTP(w, r)
}

func (u *upstream) received(id string) [][]byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bodies[id]
}

// strictTransport checks every exchange of the kit.
type strictTransport struct {
	t        *testing.T
	upstream *upstream
	mu       sync.Mutex
	seen     map[string]bool
}

func (s *strictTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	id := request.Header.Get(testIDHeader)
	sent, err := bodyOf(request)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.seen[id] = true
	s.mu.Unlock()
	if response.StatusCode != http.StatusOK {
		s.t.Errorf("%s: status %d, expected 200", id, response.StatusCode)
	}
	if reason := response.Header.Get(failedHeader); reason != "" {
		s.t.Errorf("%s: the guest reports: %s", id, reason)
	}
	if values := response.Header.Values(handledHeader); len(values) != 1 {
		s.t.Errorf("%s: %d headers %s, expected 1", id, len(values), handledHeader)
	}
	s.checkUpstream(id, sent)
	return response, nil
}

func (s *strictTransport) checkUpstream(id string, sent []byte) {
	bodies := s.upstream.received(id)
	if len(bodies) != 1 {
		s.t.Errorf("%s: %d requests reached the upstream, expected 1", id, len(bodies))
		return
	}
	if !bytes.Equal(bodies[0], sent) {
		s.t.Errorf("%s: the upstream got %d bytes, the client sent %d", id, len(bodies[0]), len(sent))
	}
}

func bodyOf(request *http.Request) ([]byte, error) {
	if request.Body == nil || request.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

func TestKit(t *testing.T) {
	recorder := &upstream{bodies: map[string][][]byte{}, kit: tck.BackendHandler()}
	backend := httptest.NewServer(recorder)
	t.Cleanup(backend.Close)
	url, output := startProxy(t, tck.GuestWASM, backend.URL)
	waitRouted(t, url, output)

	transport := &strictTransport{t: t, upstream: recorder, seen: map[string]bool{}}
	tck.Run(t, &http.Client{Transport: transport, Timeout: 30 * time.Second}, url)
	if len(transport.seen) != caseCount {
		t.Errorf("%d cases ran, expected %d", len(transport.seen), caseCount)
	}
}

// waitRouted waits until the dynamic configuration is in effect: the guest answers a request without a test id itself.
func waitRouted(t *testing.T, url string, output *logBuffer) {
	t.Helper()
	deadline := time.Now().Add(readyTimeout)
	for {
		response, err := http.Get(url)
		if err == nil {
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode == http.StatusInternalServerError && strings.Contains(string(body), testIDHeader) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the guest never answered (%v)\n%s", err, output)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
