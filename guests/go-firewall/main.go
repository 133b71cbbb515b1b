// A real web application firewall as a guest: Coraza with the whole OWASP core rule set, built by the Go toolchain as a
// WASI reactor. Blocks what the rules refuse with their status, 403 by default, and names the rule in X-Waf-Rule.
// Configuration: {"directives": ["SecRuleEngine On", ...]} is read behind the rule set.
package main

import (
	"encoding/json"
	"net"
	"os"
	"strconv"
	"strings"
	"unsafe"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"
)

//go:wasmimport http_handler get_config
func hostGetConfig(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler enable_features
func hostEnableFeatures(features uint32) uint32

//go:wasmimport http_handler log
func hostLog(level int32, message unsafe.Pointer, n uint32)

//go:wasmimport http_handler get_method
func hostGetMethod(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler get_uri
func hostGetURI(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler get_protocol_version
func hostGetProtocolVersion(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler get_source_addr
func hostGetSourceAddr(buf unsafe.Pointer, limit uint32) uint32

//go:wasmimport http_handler get_header_names
func hostGetHeaderNames(kind uint32, buf unsafe.Pointer, limit uint32) uint64

//go:wasmimport http_handler get_header_values
func hostGetHeaderValues(kind uint32, name unsafe.Pointer, nameLen uint32, buf unsafe.Pointer, limit uint32) uint64

//go:wasmimport http_handler set_header_value
func hostSetHeader(kind uint32, name unsafe.Pointer, nameLen uint32, value unsafe.Pointer, valueLen uint32)

//go:wasmimport http_handler read_body
func hostReadBody(kind uint32, buf unsafe.Pointer, limit uint32) uint64

//go:wasmimport http_handler set_status_code
func hostSetStatusCode(status uint32)

const (
	levelInfo       = 0
	levelError      = 2
	requestKind     = 0
	responseKind    = 1
	bufferRequest   = 1
	next            = 1
	stop            = 0
	defaultStatus   = 403
	includes        = "Include @coraza.conf-recommended\nInclude @crs-setup.conf.example\nInclude @owasp_crs/*.conf\nSecRuleEngine On\nSecResponseBodyAccess Off\n"
	firstBufferSize = 4096
)

var waf coraza.WAF
var scratch = make([]byte, firstBufferSize)

func pointer(s string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(s)) }

func logText(level int32, s string) { hostLog(level, pointer(s), uint32(len(s))) }

// text calls a host function that fills a buffer and tells the length it needs.
func text(call func(unsafe.Pointer, uint32) uint32) string {
	n := call(unsafe.Pointer(&scratch[0]), uint32(len(scratch)))
	if int(n) > len(scratch) {
		scratch = make([]byte, n)
		n = call(unsafe.Pointer(&scratch[0]), n)
	}
	return string(scratch[:n])
}

// list is the same for several strings, each of which ends with a zero byte.
func list(call func(unsafe.Pointer, uint32) uint64) []string {
	joined := text(func(buf unsafe.Pointer, limit uint32) uint32 { return uint32(call(buf, limit)) })
	if joined == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(joined, "\x00"), "\x00")
}

func init() {
	var config struct {
		Directives []string `json:"directives"`
	}
	if err := json.Unmarshal([]byte(text(hostGetConfig)), &config); err != nil {
		fail(err)
	}
	directives := includes + strings.Join(config.Directives, "\n")
	var err error
	if waf, err = coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(directives)); err != nil {
		fail(err)
	}
	hostEnableFeatures(bufferRequest)
	logText(levelInfo, "firewall initialised")
}

func fail(err error) {
	logText(levelError, "firewall: "+err.Error())
	os.Exit(1)
}

func addHeaders(tx types.Transaction) {
	for _, name := range list(func(buf unsafe.Pointer, limit uint32) uint64 { return hostGetHeaderNames(requestKind, buf, limit) }) {
		for _, value := range list(func(buf unsafe.Pointer, limit uint32) uint64 {
			return hostGetHeaderValues(requestKind, pointer(name), uint32(len(name)), buf, limit)
		}) {
			tx.AddRequestHeader(name, value)
			if strings.EqualFold(name, "host") {
				tx.SetServerName(value)
			}
		}
	}
}

func processBody(tx types.Transaction) *types.Interruption {
	buf := make([]byte, 16384)
	for {
		r := hostReadBody(requestKind, unsafe.Pointer(&buf[0]), uint32(len(buf)))
		if it, _, err := tx.WriteRequestBody(buf[:uint32(r)]); it != nil || err != nil {
			return it
		}
		if r>>32 == 1 {
			it, _ := tx.ProcessRequestBody()
			return it
		}
	}
}

func process(tx types.Transaction) *types.Interruption {
	host, port, _ := net.SplitHostPort(text(hostGetSourceAddr))
	number, _ := strconv.Atoi(port)
	tx.ProcessConnection(host, number, "", 0)
	tx.ProcessURI(text(hostGetURI), text(hostGetMethod), text(hostGetProtocolVersion))
	addHeaders(tx)
	if it := tx.ProcessRequestHeaders(); it != nil {
		return it
	}
	return processBody(tx)
}

//go:wasmexport handle_request
func handleRequest() uint64 {
	tx := waf.NewTransaction()
	defer tx.Close()
	it := process(tx)
	if it == nil {
		return next
	}
	rule := strconv.Itoa(it.RuleID)
	hostSetHeader(responseKind, pointer("X-Waf-Rule"), 10, pointer(rule), uint32(len(rule)))
	status := it.Status
	if status == 0 {
		status = defaultStatus
	}
	hostSetStatusCode(uint32(status))
	return stop
}

//go:wasmexport handle_response
func handleResponse(ctx, isError uint32) {}

func main() {}
