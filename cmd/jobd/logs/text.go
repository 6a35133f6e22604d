package logs

import (
	"io"
	"log/slog"
	"strings"

	"github.com/jobd-project/jobd/job"
)

// newText writes a record a line. slog quotes whatever could end a line or a field, or move a cursor; but not DEL.
func newText(w io.Writer, name namer) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug - 100, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		return plain(a, name)
	}})
}

// namer says how a job is called.
type namer func(job.JID) string

// plain makes an attribute what is written of it.
func plain(a slog.Attr, name namer) slog.Attr {
	v := a.Value.Resolve()
	switch x := v.Any().(type) {
	case job.JID:
		v = slog.StringValue(name(x))
	case error:
		v = slog.StringValue(x.Error())
	}
	if v.Kind() == slog.KindString && strings.ContainsRune(v.String(), '\x7f') {
		v = slog.StringValue(strings.ReplaceAll(v.String(), "\x7f", `\x7f`))
	}
	a.Value = v
	return a
}
