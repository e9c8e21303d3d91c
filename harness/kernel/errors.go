package kernel

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotKernel is wrapped by errors about a file that is not a supported kernel image.
var ErrNotKernel = errors.New("not a kernel image")

// ErrTruncated is wrapped by errors about an image that ends too early.
var ErrTruncated = errors.New("the image is truncated")

// ErrNoTypes is returned when the image carries no BTF.
var ErrNoTypes = errors.New("the kernel has no BTF type information (CONFIG_DEBUG_INFO_BTF=y)")

// FormatError says why an image could not be read.
type FormatError struct {
	Layer  string // the container being read: "bzImage", "ELF", "kallsyms", ...
	Reason string // one sentence, with what to do about it
	Err    error  // ErrNotKernel, ErrTruncated or the decompressor's own error
}

func (e *FormatError) Error() string {
	s := e.Layer + ": " + e.Reason
	if e.Err != nil && e.Err != ErrNotKernel && e.Err != ErrTruncated {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *FormatError) Unwrap() error { return e.Err }

func notKernel(layer, format string, args ...any) error {
	return &FormatError{Layer: layer, Reason: fmt.Sprintf(format, args...), Err: ErrNotKernel}
}

func truncated(layer, format string, args ...any) error {
	return &FormatError{Layer: layer, Reason: fmt.Sprintf(format, args...), Err: ErrTruncated}
}

// NotFoundError is returned for a name that this kernel does not have.
type NotFoundError struct {
	What       string   // "symbol", "struct", "member of struct task_struct", ...
	Name       string   // the name
	LookAlikes []string // similar names that exist
}

func (e *NotFoundError) Error() string {
	s := fmt.Sprintf("no %s %q in this kernel", e.What, e.Name)
	if len(e.LookAlikes) > 0 {
		s += "; it has " + strings.Join(e.LookAlikes, ", ")
	}
	return s
}

// AmbiguousError is returned for a name that belongs to several symbols.
type AmbiguousError struct {
	Name    string
	Symbols []Symbol
}

func (e *AmbiguousError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "symbol %q is ambiguous: this kernel has", e.Name)
	for i, s := range e.Symbols {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %c %s at %#x", s.Type, s.Name, s.Addr)
	}
	b.WriteString("; give an address instead")
	return b.String()
}

// PointError is returned when a logical point cannot be found in this kernel.
type PointError struct {
	Point      string
	Kernel     string   // release and architecture
	Candidates []string // the symbols tried, in order; empty when the point itself is unknown
	LookAlikes []string // similar symbols of this kernel, or similar points
}

func (e *PointError) Error() string {
	var b strings.Builder
	if len(e.Candidates) == 0 {
		fmt.Fprintf(&b, "unknown point %q, and kernel %s has no function of that name", e.Point, e.Kernel)
		if len(e.LookAlikes) > 0 {
			b.WriteString("; known points: " + strings.Join(e.LookAlikes, ", "))
		}
		b.WriteString("; describe it in harness/kernel/points.yaml")
		return b.String()
	}
	fmt.Fprintf(&b, "point %s has no place in kernel %s: tried %s, none is a text symbol there",
		e.Point, e.Kernel, strings.Join(e.Candidates, ", "))
	if len(e.LookAlikes) > 0 {
		b.WriteString("; it has " + strings.Join(e.LookAlikes, ", "))
	}
	fmt.Fprintf(&b, "; if one of those is the place, add it under %q in harness/kernel/points.yaml", e.Point)
	return b.String()
}
