package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"golang.org/x/sys/unix"

	"github.com/jobd-project/jobd/job/report"
)

// hostConfig is read by the host's own jobd when no other file is named. It need not be there.
const hostConfig = "/etc/jobd/jobd.toml"

// configMost is how large a configuration may be, bytes.
const configMost = 1 << 20

// fileToRead is the configuration file that is to be read; empty: there is none. Another jobd than the host's own has none that it was not
// told of.
func (c *config) fileToRead(host string) string {
	switch {
	case c.Named != "":
		return c.Named
	case c.RunDir != hostRunDir:
		return ""
	}
	if _, err := os.Lstat(host); errors.Is(err, os.ErrNotExist) {
		return ""
	}
	return host
}

// readSettings reads a configuration file; with no file it gives the defaults. The error names all that is wrong in it, a line each;
// nothing has been touched.
func readSettings(path string, more ...settingsCheck) (settings, error) {
	if path == "" {
		return defaultSettings(), nil
	}
	text, err := readOwn(path)
	if err != nil {
		return settings{}, fmt.Errorf("cannot read the configuration: %w", err)
	}
	return decodeSettings(path, text, more...)
}

// readOwn reads a file that nobody but root can have written: jobd does as root what it says. (Whoever is not root checks what
// may become one.)
func readOwn(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err == nil && os.Geteuid() == 0 {
		err = rootsOwn(path, true, linksMost)
	}
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe holds nobody up
	if err != nil {
		return "", err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("%s is no file", path))
	}
	b, err := io.ReadAll(io.LimitReader(f, configMost+1))
	if err == nil && len(b) > configMost {
		err = fmt.Errorf("%s is larger than %d MiB", path, configMost>>20)
	}
	return string(b), err
}

// decodeSettings reads the text of a configuration file over the defaults, and checks each value.
func decodeSettings(path, text string, more ...settingsCheck) (settings, error) {
	s := defaultSettings()
	var top map[string]toml.Primitive
	md, err := toml.Decode(text, &top)
	var bad toml.ParseError
	switch {
	case errors.As(err, &bad):
		return s, fmt.Errorf("%s:%d: %s", path, bad.Position.Line, bad.Message)
	case err != nil:
		return s, fmt.Errorf("%s: %w", path, err)
	}
	d := decoding{&md}
	errs := []error{d.table(reflect.ValueOf(&s).Elem(), top, nil, 0), s.check()}
	for _, check := range more {
		errs = append(errs, check(&s))
	}
	return s, located(path, text, errors.Join(errs...))
}

// decoding reads what TOML has into a struct key by key, so that one that is wrong hides no other.
type decoding struct{ md *toml.MetaData }

// table reads a table. Of several by one name it is the at-th, from 1; 0: there is one.
func (d decoding) table(to reflect.Value, from map[string]toml.Primitive, name toml.Key, at int) error {
	fields := make(map[string]reflect.Value)
	for i := range to.NumField() {
		fields[to.Type().Field(i).Tag.Get("toml")] = to.Field(i)
	}
	var errs []error
	for key, value := range from {
		whole := append(slices.Clone(name), key)
		if field, known := fields[key]; known {
			errs = append(errs, d.value(field, value, whole, at))
		} else {
			errs = append(errs, &report.BadKey{Key: whole.String(), At: at, Text: "unknown key " + whole.String()})
		}
	}
	return errors.Join(errs...)
}

func (d decoding) value(to reflect.Value, from toml.Primitive, name toml.Key, at int) error {
	bad := &report.BadKey{Key: name.String(), At: at, Text: name.String() + " has to be " + expected(to.Type())}
	switch {
	case to.Kind() == reflect.Struct:
		var sub map[string]toml.Primitive
		if err := d.md.PrimitiveDecode(from, &sub); err != nil {
			return bad
		}
		return d.table(to, sub, name, at)
	case to.Kind() == reflect.Slice && to.Type().Elem().Kind() == reflect.Struct:
		var list []map[string]toml.Primitive
		if err := d.md.PrimitiveDecode(from, &list); err != nil {
			return bad
		}
		return d.tables(to, list, name)
	case to.Type() == reflect.TypeFor[time.Duration](): // of which a bare number would be nanoseconds
		var text string
		if err := d.md.PrimitiveDecode(from, &text); err != nil {
			return bad
		}
	}
	if err := d.md.PrimitiveDecode(from, to.Addr().Interface()); err != nil {
		return bad
	}
	return nil
}

func (d decoding) tables(to reflect.Value, list []map[string]toml.Primitive, name toml.Key) error {
	var errs []error
	to.Set(reflect.MakeSlice(to.Type(), len(list), len(list)))
	for i, from := range list {
		errs = append(errs, d.table(to.Index(i), from, name, i+1))
	}
	return errors.Join(errs...)
}

// expected says what a key takes.
func expected(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return `a time with its unit, such as "10s"`
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return "a list of tables"
	case t.Kind() == reflect.Slice:
		return `a list of texts, such as ["a", "b"]`
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text in quotes"
	case reflect.Struct:
		return "a table"
	case reflect.Float64:
		return "a number"
	case reflect.Uint32:
		return "a whole number from 0 to 4294967295"
	}
	return "a whole number"
}

// located says of each bad key on which line it is, in the file's order; nil: there is none.
func located(path, text string, err error) error {
	if err == nil {
		return nil
	}
	lines := linesOf(text)
	type said struct {
		line int
		err  error
	}
	var all []said
	for _, e := range flat(err) {
		s := said{err: fmt.Errorf("%s: %w", path, e)}
		var bad *report.BadKey
		if errors.As(e, &bad) {
			if s.line = keyLine(lines, bad); s.line > 0 {
				s.err = fmt.Errorf("%s:%d: %w", path, s.line, e)
			}
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b said) int {
		return cmp.Or(cmp.Compare(a.line, b.line), strings.Compare(a.err.Error(), b.err.Error()))
	})
	var out []error
	for _, s := range all {
		out = append(out, s.err)
	}
	return errors.Join(out...)
}

// flat takes joined errors apart.
func flat(err error) (out []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		out = append(out, flat(e)...)
	}
	return out
}

// readMost is how much is read anew, at the most, to tell where keys are: each beginning of a value of many lines is.
const readMost = 8 * configMost

// linesOf gives the line on which each key begins, once for each time that it is there, of a text that is good TOML. What is read by itself
// is the shortest that can be: a header, a key with its value, a comment. That needs no grammar but TOML's own.
func linesOf(text string) map[string][]int {
	at := make(map[string][]int)
	var table toml.Key // whose header was the last
	from, end, begun, n, read := 0, 0, 1, 0, 0
	for line := range strings.Lines(text) {
		n++
		end += len(line)
		if read += end - from; read > readMost {
			break
		}
		md, err := toml.Decode(text[from:end], new(map[string]any))
		if err != nil {
			continue // in the midst of a value
		}
		header := strings.HasPrefix(strings.TrimLeft(text[from:end], " \t"), "[")
		if header {
			table = nil
		}
		for _, k := range md.Keys() {
			k = slices.Concat(table, k)
			at[k.String()] = append(at[k.String()], begun)
			for i := range k { // tables that are there by what is in them
				if above := k[:i].String(); len(at[above]) == 0 {
					at[above] = []int{begun}
				}
			}
			if header {
				table = k
			}
		}
		from, begun = end, n+1
	}
	return at
}

// keyLine gives the line of a key, or of the nearest table above it that is there; 0: there is none.
func keyLine(at map[string][]int, bad *report.BadKey) int {
	for name := bad.Key; ; {
		if lines := at[name]; len(lines) > 0 {
			return lines[min(max(bad.At-1, 0), len(lines)-1)]
		}
		i := strings.LastIndexByte(name, '.')
		if i < 0 {
			return 0
		}
		name = name[:i]
	}
}
