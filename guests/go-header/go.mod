module example.org/go-header

go 1.24
