package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// Set by the linker where an image or a release is built: the commit may not be known to `go build` there.
var (
	linkedVersion string
	linkedCommit  string
	linkedDate    string
)

type versionCmd struct {
	outputFlags
}

type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	// Date is the commit's, RFC 3339.
	Date     string `json:"date,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// version is what the linker was told, else what the build knows of its source.
func version() versionInfo {
	v := versionInfo{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if b, ok := debug.ReadBuildInfo(); ok {
		if b.Main.Version != "" {
			v.Version = b.Main.Version
		}
		for _, s := range b.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.time":
				v.Date = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	for to, linked := range map[*string]string{&v.Version: linkedVersion, &v.Revision: linkedCommit, &v.Date: linkedDate} {
		if linked != "" {
			*to = linked
		}
	}
	return v
}

func (c *versionCmd) Run(e *environment) error {
	v := version()
	return c.print(e, v, func(w io.Writer) {
		fmt.Fprintf(w, "cqrsflow %s %s %s", v.Version, v.Go, v.Platform)
		if v.Revision != "" {
			fmt.Fprintf(w, " %.12s", v.Revision)
		}
		if v.Date != "" {
			fmt.Fprintf(w, " %s", v.Date)
		}
		if v.Modified {
			fmt.Fprint(w, " (modified)")
		}
		fmt.Fprintln(w)
	})
}
