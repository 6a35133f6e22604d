package main

import (
	"encoding"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// csvWriter prints a header with the names of docs/protocol.md and a line for each value, as RFC 4180 has it: raw figures,
// RFC 3339 times, an empty field for what is unknown. Lists of names stand with blanks between them; other lists and objects
// as JSON.
type csvWriter[T any] struct {
	out    *csv.Writer
	fields []reflect.StructField
	line   []string
}

func newCSV[T any](w io.Writer) *csvWriter[T] {
	c := &csvWriter[T]{out: csv.NewWriter(w), fields: csvFields(reflect.TypeFor[T]())}
	c.out.UseCRLF = true
	c.line = make([]string, len(c.fields))
	for i, f := range c.fields {
		c.line[i], _, _ = strings.Cut(f.Tag.Get("json"), ",")
	}
	_ = c.out.Write(c.line) // end tells
	return c
}

func (c *csvWriter[T]) add(v T) error {
	for i, f := range c.fields {
		c.line[i] = csvField(reflect.ValueOf(v).FieldByIndex(f.Index))
	}
	return c.out.Write(c.line)
}

func (c *csvWriter[T]) end() error {
	c.out.Flush()
	return c.out.Error()
}

func writeCSV[T any](w io.Writer, list []T) error {
	c := newCSV[T](w)
	for _, v := range list {
		if err := c.add(v); err != nil {
			return err
		}
	}
	return c.end()
}

func csvFields(t reflect.Type) []reflect.StructField {
	var fields []reflect.StructField
	for f := range t.Fields() {
		if name := f.Tag.Get("json"); name != "" && name != "-" {
			fields = append(fields, f)
		}
	}
	return fields
}

func csvField(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return x.Format(time.RFC3339Nano)
	case []string:
		return harmless(strings.Join(x, " "))
	case encoding.TextMarshaler:
		text, _ := x.MarshalText() // of a JID: it has a text always
		return string(text)
	}
	switch v.Kind() {
	case reflect.String:
		return harmless(v.String())
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64)
	case reflect.Map, reflect.Slice:
		if v.Len() == 0 {
			return ""
		}
		text, _ := json.Marshal(v.Interface()) // of texts, numbers and times
		return string(escaped(text))
	}
	return fmt.Sprint(v.Interface())
}

// harmless keeps a spreadsheet from taking a text for a formula, which could send what is in it anywhere: users choose
// what their commands and terminals are called. https://owasp.org/www-community/attacks/CSV_Injection
func harmless(text string) string {
	if text != "" {
		text = plain(text) // a terminal must not take it for orders either
	}
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}
