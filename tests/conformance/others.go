//go:build others

// Package conformance needs this module for its guests, which tests/differential runs; it is never built.
package conformance

import _ "github.com/http-wasm/http-wasm-guest-tinygo/handler"
