// A guest built by the Go toolchain itself as a WASI reactor: sets the response headers of its configuration
// {"headers": {name: value}} and says "go guest initialised" when an instance starts.
package main

import (
	"encoding/json"
	"os"
	"unsafe"
)

//go:wasmimport http_handler get_config
func hostGetConfig(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler log
func hostLog(level int32, message unsafe.Pointer, n uint32)

//go:wasmimport http_handler set_header_value
func hostSetHeader(kind uint32, name unsafe.Pointer, nameLen uint32, value unsafe.Pointer, valueLen uint32)

const (
	levelInfo       = 0
	levelError      = 2
	responseHeaders = 1
	next            = 1
)

var config struct {
	Headers map[string]string `json:"headers"`
}

func pointer(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }

func logText(level int32, s string) { hostLog(level, pointer(s), uint32(len(s))) }

func configText() []byte {
	buf := make([]byte, 2048)
	n := hostGetConfig(unsafe.Pointer(&buf[0]), uint32(len(buf)))
	if int(n) > len(buf) {
		buf = make([]byte, n)
		hostGetConfig(unsafe.Pointer(&buf[0]), n)
	}
	return buf[:n]
}

func init() {
	if err := json.Unmarshal(configText(), &config); err != nil {
		logText(levelError, "go guest cannot read its configuration: "+err.Error())
		os.Exit(1)
	}
	logText(levelInfo, "go guest initialised")
}

//go:wasmexport handle_request
func handleRequest() uint64 {
	for name, value := range config.Headers {
		hostSetHeader(responseHeaders, pointer(name), uint32(len(name)), pointer(value), uint32(len(value)))
	}
	return next
}

//go:wasmexport handle_response
func handleResponse(ctx, isError uint32) {}

func main() {}
