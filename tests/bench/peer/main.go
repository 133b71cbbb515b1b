// peer GUEST.wasm CONFIG LIVE [ROUND_MS]: what bench_plugin measures, of the plugin host that Traefik embeds, as one
// JSON object. Runtime, cache, start functions, clock and pool are as Traefik sets them up.
//
// CPU time is the process's, collector included; memory is PSS.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	handlerapi "github.com/http-wasm/http-wasm-host-go/api/handler"
	"github.com/http-wasm/http-wasm-host-go/handler"
	nethttp "github.com/http-wasm/http-wasm-host-go/handler/nethttp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

const rounds = 5

// embedder does next to nothing.
type embedder struct{ handlerapi.UnimplementedHost }

func (embedder) GetURI(context.Context) string { return "/" }

// answer is an http.ResponseWriter and the handler behind the plugin.
type answer struct{ header http.Header }

func (a answer) Header() http.Header                          { return a.header }
func (a answer) Write(p []byte) (int, error)                  { return len(p), nil }
func (a answer) WriteHeader(int)                              {}
func (a answer) ServeHTTP(http.ResponseWriter, *http.Request) {}

type bench struct {
	ctx      context.Context
	wasm     []byte
	config   []byte
	cache    wazero.CompilationCache
	round    time.Duration
	measured map[string]float64
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func got[T any](value T, err error) T {
	must(err)
	return value
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func pssBytes() float64 {
	for _, line := range bytes.Split(got(os.ReadFile("/proc/self/smaps_rollup")), []byte("\n")) {
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[0]) == "Pss:" {
			return got(strconv.ParseFloat(string(fields[1]), 64)) * 1024
		}
	}
	must(fmt.Errorf("smaps_rollup says nothing about PSS"))
	return 0
}

// cpuUs is the median of the rounds, in microseconds per call.
func (b *bench) cpuUs(run func()) float64 {
	calls := 1
	for began := time.Now(); ; calls *= 2 {
		for range calls {
			run()
		}
		if time.Since(began) > b.round/2 {
			break
		}
		began = time.Now()
	}
	var each [rounds]float64
	for i := range each {
		before := cpuTime()
		for range calls {
			run()
		}
		each[i] = float64((cpuTime() - before).Nanoseconds()) / float64(calls) / 1000
	}
	slices.Sort(each[:])
	return each[rounds/2]
}

// newRuntime is one middleware's, with the host functions of WASI.
func (b *bench) newRuntime() wazero.Runtime {
	rt := wazero.NewRuntimeWithConfig(b.ctx, wazero.NewRuntimeConfig().WithCompilationCache(b.cache))
	got(wasi_snapshot_preview1.Instantiate(b.ctx, rt))
	return rt
}

func moduleConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithSysWalltime().WithStartFunctions("_start", "_initialize")
}

func (b *bench) options(rt wazero.Runtime) []handler.Option {
	return []handler.Option{
		handler.Runtime(func(context.Context) (wazero.Runtime, error) { return rt, nil }),
		handler.ModuleConfig(moduleConfig()),
		handler.GuestConfig(b.config),
	}
}

func (b *bench) start() {
	rt := wazero.NewRuntimeWithConfig(b.ctx, wazero.NewRuntimeConfig().WithCompilationCache(b.cache))
	began := time.Now()
	got(rt.CompileModule(b.ctx, b.wasm))
	b.measured["compile_ms"] = float64(time.Since(began).Microseconds()) / 1000
	began = time.Now()
	m := got(handler.NewMiddleware(b.ctx, b.wasm, embedder{}, b.options(b.newRuntime())...))
	b.measured["start_ms"] = float64(time.Since(began).Microseconds()) / 1000
	must(m.Close(b.ctx))
}

func exchange(ctx context.Context, m handler.Middleware) {
	out, next := begin(ctx, m)
	if uint32(next) != 0 {
		must(m.HandleResponse(out, uint32(next>>32), nil))
	}
}

func begin(ctx context.Context, m handler.Middleware) (context.Context, handlerapi.CtxNext) {
	out, next, err := m.HandleRequest(ctx)
	must(err)
	return out, next
}

func (b *bench) exchanges() {
	rt := b.newRuntime()
	m := got(handler.NewMiddleware(b.ctx, b.wasm, embedder{}, b.options(rt)...))
	b.measured["reuse_us"] = b.cpuUs(func() { exchange(b.ctx, m) })
	compiled := got(rt.CompileModule(b.ctx, b.wasm))
	b.measured["clone_us"] = b.cpuUs(func() {
		must(got(rt.InstantiateModule(b.ctx, compiled, moduleConfig().WithName(""))).Close(b.ctx))
	})
	must(m.Close(b.ctx))
	w := got(nethttp.NewMiddleware(b.ctx, b.wasm, b.options(b.newRuntime())...))
	b.measured["nethttp_us"] = b.netHTTP(w.NewHandler(b.ctx, answer{}))
	must(w.Close(b.ctx))
}

// netHTTP is the addition to a request with the fields that a proxy has; they are reused, which favours the peer.
func (b *bench) netHTTP(h http.Handler) float64 {
	request := got(http.NewRequestWithContext(b.ctx, http.MethodGet, "http://bench.test/128", nil))
	response := answer{http.Header{}}
	return b.cpuUs(func() { h.ServeHTTP(response, request) })
}

func (b *bench) memory(live int) {
	m := got(handler.NewMiddleware(b.ctx, b.wasm, embedder{}, b.options(b.newRuntime())...))
	exchange(b.ctx, m)
	runtime.GC()
	before := pssBytes()
	waiting := make([]context.Context, live)
	for i := range waiting {
		waiting[i], _ = begin(b.ctx, m)
	}
	runtime.GC()
	b.measured["live"] = float64(live)
	b.measured["live_bytes"] = pssBytes() - before
	for _, ctx := range waiting {
		must(m.HandleResponse(ctx, 0, nil))
	}
	b.measured["idle_bytes"] = pssBytes() - before
	must(m.Close(b.ctx))
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: peer GUEST.wasm CONFIG LIVE [ROUND_MS]")
		os.Exit(2)
	}
	b := bench{
		ctx:      context.Background(),
		wasm:     got(os.ReadFile(os.Args[1])),
		config:   []byte(os.Args[2]),
		cache:    wazero.NewCompilationCache(),
		round:    60 * time.Millisecond,
		measured: map[string]float64{},
	}
	if len(os.Args) > 4 {
		b.round = time.Duration(got(strconv.Atoi(os.Args[4]))) * time.Millisecond
	}
	b.start()
	b.exchanges()
	if live := got(strconv.Atoi(os.Args[3])); live > 0 {
		b.memory(live)
	}
	fmt.Println(string(got(json.Marshal(b.measured))))
}
