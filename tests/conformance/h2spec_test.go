package conformance

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

const plainConfiguration = `
entryPoints:
  web:
    address: "%s"
global:
  checkNewVersion: false
providers:
  file:
    filename: dynamic.yml
`

const plainRoute = `
http:
  routers:
    all:
      rule: PathPrefix(` + "`/`" + `)
      service: backend
  services:
    backend:
      loadBalancer:
        servers:
          - url: "%s"
`

const specCaseCount = 146

// What fails, and why that is right.
var specExceptions = map[string]string{
	"http2/3.5/2":  "a first line that is not the preface is HTTP/1, which is answered before the connection is closed",
	"http2/5.1/8":  "DATA on a stream that the client has reset is thrown away: nghttp2 tells nobody of it",
	"http2/5.1/11": "DATA on a closed stream is thrown away: nghttp2 tells nobody of it",
}

// each calls f with the name of each case of a group.
func each(group *spec.TestGroup, f func(name string, c *spec.TestCase)) {
	for i, c := range group.Tests {
		f(fmt.Sprintf("%s/%d", group.ID(), i+1), c)
	}
	for _, child := range group.Groups {
		each(child, f)
	}
}

// waitAnswer waits until the dynamic configuration is in effect.
func waitAnswer(t *testing.T, address string, output *logBuffer) {
	t.Helper()
	for deadline := time.Now().Add(readyTimeout); ; time.Sleep(10 * time.Millisecond) {
		response, err := http.Get("http://" + address)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the backend never answered (%v)\n%s", err, output)
		}
	}
}

// TestH2Spec runs every case of h2spec against an entry point without TLS.
func TestH2Spec(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "an answer that is long enough for small windows")
	}))
	defer backend.Close()
	directory := t.TempDir()
	address := freeAddress(t)
	writeFile(t, filepath.Join(directory, "static.yml"), fmt.Sprintf(plainConfiguration, address))
	writeFile(t, filepath.Join(directory, "dynamic.yml"), fmt.Sprintf(plainRoute, backend.URL))
	waitAnswer(t, address, runProxy(t, directory, address))

	host, port, _ := strings.Cut(address, ":")
	settings := &config.Config{Host: host, Path: "/", Timeout: 3 * time.Second, MaxHeaderLen: 4000}
	if _, err := fmt.Sscan(port, &settings.Port); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		each(group, func(name string, c *spec.TestCase) {
			seen++
			t.Run(name, func(t *testing.T) {
				connection, err := spec.Dial(settings)
				if err != nil {
					t.Fatal(err)
				}
				defer connection.Close()
				err = c.Run(settings, connection)
				reason, excused := specExceptions[name]
				if err != nil && !excused {
					t.Errorf("%s: %v", c.Desc, err)
				}
				if err == nil && excused {
					t.Errorf("%s: no longer fails, although %s", c.Desc, reason)
				}
			})
		})
	}
	if seen != specCaseCount {
		t.Errorf("%d cases, expected %d", seen, specCaseCount)
	}
}
