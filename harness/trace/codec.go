package trace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// MaxLine is the longest line of a trace, in bytes, newline not counted.
	MaxLine = 4 << 20
	// MaxEvents is the largest number of events of a trace.
	MaxEvents = 1 << 20
)

// ErrEmpty says that a trace has no header.
var ErrEmpty = errors.New("empty trace: nothing was recorded")

// LineError is an error in one line of a trace.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the cause.
func (e *LineError) Unwrap() error { return e.Err }

// Writer writes a trace, one complete line at a time, so that the lines before a crash
// can be read. It is not safe for concurrent use.
type Writer struct {
	w     io.Writer
	seq   int
	ended bool
}

// NewWriter sets the header's Schema and writes the header.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	h.Schema = Schema
	tw := &Writer{w: w}
	if err := tw.line(h); err != nil {
		return nil, fmt.Errorf("write trace header: %w", err)
	}
	return tw, nil
}

// Write sets the event's Seq and writes the event. Nothing may follow the end event.
func (w *Writer) Write(e Event) error {
	if w.ended {
		return fmt.Errorf("write trace event %q: the trace has ended", e.Kind)
	}
	e.Seq = w.seq + 1
	if err := e.check(); err != nil {
		return fmt.Errorf("write trace event %d: %w", e.Seq, err)
	}
	if err := w.line(e); err != nil {
		return fmt.Errorf("write trace event %d: %w", e.Seq, err)
	}
	w.seq++
	w.ended = e.Kind == KindEnd
	return nil
}

// Seq returns the number of the last event, 0 before the first.
func (w *Writer) Seq() int { return w.seq }

func (w *Writer) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > MaxLine {
		return fmt.Errorf("the line has %d bytes, which is more than %d", len(b), MaxLine)
	}
	_, err = w.w.Write(append(b, '\n'))
	return err
}

// Read reads a trace. A trace without an end event is valid but not Complete. Read
// ignores an incomplete last line, which a killed writer leaves. The error is a
// *LineError or ErrEmpty.
func Read(r io.Reader) (*Trace, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	b, torn, err := readLine(br)
	switch {
	case err == io.EOF:
		return nil, ErrEmpty
	case err != nil:
		return nil, &LineError{1, err}
	}
	t := &Trace{}
	if err := header(b, torn, &t.Header); err != nil {
		return nil, &LineError{1, err}
	}
	for n := 2; ; n++ {
		b, torn, err := readLine(br)
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return nil, &LineError{n, err}
		}
		var e Event
		if err := strict(b, &e); err != nil {
			if torn {
				return t, nil
			}
			return nil, &LineError{n, err}
		}
		if err := t.add(e); err != nil {
			return nil, &LineError{n, err}
		}
	}
}

func (t *Trace) add(e Event) error {
	if t.Complete() {
		return errors.New("a line follows the end event: the file has two traces, split it")
	}
	if len(t.Events) >= MaxEvents {
		return fmt.Errorf("more than %d events: the trace is too large to grade", MaxEvents)
	}
	if want := len(t.Events) + 1; e.Seq != want {
		return fmt.Errorf("seq %d, want %d: lines are missing or out of order", e.Seq, want)
	}
	if err := e.check(); err != nil {
		return err
	}
	t.Events = append(t.Events, e)
	return nil
}

func header(b []byte, torn bool, h *Header) error {
	var v struct {
		Schema *string `json:"schema"`
	}
	if err := json.Unmarshal(b, &v); err != nil || v.Schema == nil {
		if torn && err != nil {
			return errors.New("the header is truncated: record the trace again")
		}
		return fmt.Errorf("no %q header: this file is not a trace", Schema)
	}
	name, version, _ := strings.Cut(*v.Schema, "/")
	ours, current, _ := strings.Cut(Schema, "/")
	switch {
	case name != ours:
		return fmt.Errorf("schema %q is not a trace: want %s", *v.Schema, Schema)
	case version != current:
		return fmt.Errorf("schema %q, but this lab reads %s: use the lab that wrote it, or record the trace again", *v.Schema, Schema)
	}
	if err := strict(b, h); err != nil {
		return err
	}
	if h.Lab == "" || h.Arch == "" {
		return errors.New("the header names no lab or no arch")
	}
	return nil
}

// check returns an error if the event lacks a field that its kind requires.
func (e Event) check() error {
	switch e.Kind {
	case KindStop:
		if e.Point == "" {
			return errors.New("a stop without a point")
		}
	case KindProgram:
		if e.Task == nil {
			return errors.New("a program event without a task")
		}
	case KindExit:
		if e.Exit == nil {
			return errors.New("an exit event without exit")
		}
	case KindFtrace:
		if e.Ftrace == nil {
			return errors.New("an ftrace event without ftrace")
		}
	case KindEnd:
	default:
		return fmt.Errorf("unknown kind %q: want %s, %s, %s, %s or %s", e.Kind, KindStop, KindProgram, KindFtrace, KindExit, KindEnd)
	}
	return nil
}

// strict decodes b, one JSON object without unknown fields, into v.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value on the line")
	}
	return nil
}

// readLine returns the next line without its newline. torn reports whether the newline
// was missing. The line has at most MaxLine bytes.
func readLine(br *bufio.Reader) (line []byte, torn bool, err error) {
	for {
		part, err := br.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > MaxLine+1 {
			return nil, false, fmt.Errorf("the line has more than %d bytes", MaxLine)
		}
		switch {
		case err == nil:
			return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), false, nil
		case err == bufio.ErrBufferFull:
		case err == io.EOF && len(line) > 0:
			return line, true, nil
		default:
			return nil, false, err
		}
	}
}
