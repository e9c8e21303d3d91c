package regress

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"kernellab/harness/verdict"
)

// Schema names the baseline document and its version.
const Schema = "lab.baseline/1"

// maxDocument limits the size of a baseline, in bytes.
const maxDocument = 64 << 20

// Baseline records the results of kernels, with one entry per lab, architecture and
// kernel.
type Baseline struct {
	Schema  string  `json:"schema"`
	Entries []Entry `json:"entries"`
}

// Update replaces the entries of the same lab, architecture and kernel, and adds new
// ones. It returns the entries that it skipped, those of runs that could not be graded.
func (b *Baseline) Update(entries ...Entry) (skipped []Entry) {
	for _, e := range entries {
		if e.Verdict == verdict.Error {
			skipped = append(skipped, e)
			continue
		}
		i := slices.IndexFunc(b.Entries, e.same)
		if i < 0 {
			b.Entries = append(b.Entries, e)
			continue
		}
		b.Entries[i] = e
	}
	slices.SortFunc(b.Entries, compareEntries)
	return skipped
}

// same reports whether o is the entry for the same lab, architecture and kernel.
func (e Entry) same(o Entry) bool { return e.Lab == o.Lab && e.Arch == o.Arch && e.Kernel == o.Kernel }

// compareEntries orders a baseline: by lab, architecture, version.
func compareEntries(a, b Entry) int {
	return cmp.Or(
		cmp.Compare(a.Lab, b.Lab), cmp.Compare(a.Arch, b.Arch),
		CompareReleases(a.Kernel, b.Kernel), cmp.Compare(a.Kernel, b.Kernel),
	)
}

// For returns the entry to compare e with: that of the same kernel, or else that of
// the newest older kernel of the architecture. If that version has several flavours it
// prefers e's.
func (b Baseline) For(e Entry) (Entry, bool) {
	var best Entry
	found := false
	for _, o := range b.Entries {
		if o.same(e) {
			return o, true
		}
		if o.Lab != e.Lab || o.Arch != e.Arch {
			continue
		}
		if CompareReleases(o.Kernel, e.Kernel) > 0 {
			continue
		}
		c := CompareReleases(o.Kernel, best.Kernel)
		if !found || c > 0 || c == 0 && flavour(o.Kernel) == flavour(e.Kernel) {
			best, found = o, true
		}
	}
	return best, found
}

// Encode writes b as JSON, with sorted entries. A value that fits into a line has its
// own line, so that a change of one point or field changes one line.
func (b Baseline) Encode(w io.Writer) error {
	out := Baseline{Schema: Schema, Entries: slices.Clone(b.Entries)}
	if out.Entries == nil {
		out.Entries = []Entry{}
	}
	slices.SortFunc(out.Entries, compareEntries)
	var compact, page bytes.Buffer
	enc := json.NewEncoder(&compact)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	if err := layout(&page, bytes.TrimSpace(compact.Bytes()), ""); err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	page.WriteByte('\n')
	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	return nil
}

// lineWidth is the most bytes that an object or array has on one line.
const lineWidth = 200

// layout writes a compact JSON value; each line after the first begins with
// indent. What is longer than a line gets a line for each of its elements.
func layout(w *bytes.Buffer, value []byte, indent string) error {
	if len(indent)+len(value) <= lineWidth || value[0] != '{' && value[0] != '[' {
		w.Write(value)
		return nil
	}
	w.WriteByte(value[0])
	dec := json.NewDecoder(bytes.NewReader(value))
	if _, err := dec.Token(); err != nil { // the bracket
		return err
	}
	sep := "\n"
	for dec.More() {
		w.WriteString(sep + indent + " ")
		sep = ",\n"
		if value[0] == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%q: ", key)
		}
		var element json.RawMessage
		if err := dec.Decode(&element); err != nil {
			return err
		}
		if err := layout(w, element, indent+" "); err != nil {
			return err
		}
	}
	w.WriteString("\n" + indent + string(value[len(value)-1]))
	return nil
}

// Decode reads the output of Encode. It refuses unknown fields, other versions and
// duplicate entries. An error about the text names its line.
func Decode(r io.Reader) (Baseline, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return Baseline{}, fmt.Errorf("read baseline: %w", err)
	}
	if len(data) > maxDocument {
		return Baseline{}, fmt.Errorf("read baseline: it has more than %d bytes", maxDocument)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var b Baseline
	if err := dec.Decode(&b); err != nil {
		return Baseline{}, fmt.Errorf("read baseline: line %d: %s", lineOf(err, data), strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); err != io.EOF {
		return Baseline{}, errors.New("read baseline: more than one JSON value")
	}
	if b.Schema != Schema {
		return Baseline{}, fmt.Errorf("read baseline: schema %q, want %q: record it again with lab matrix --update-baseline", b.Schema, Schema)
	}
	for i, e := range b.Entries {
		if e.Lab == "" || e.Arch == "" || e.Kernel == "" {
			return Baseline{}, fmt.Errorf("read baseline: entry %d lacks a lab, arch or kernel", i+1)
		}
		if e.Verdict != verdict.Pass && e.Verdict != verdict.Fail {
			return Baseline{}, fmt.Errorf("read baseline: entry %d: verdict %q: want pass or fail", i+1, e.Verdict)
		}
		if j := slices.IndexFunc(b.Entries, e.same); j != i {
			return Baseline{}, fmt.Errorf("read baseline: entries %d and %d are both %s on %s %s", j+1, i+1, e.Lab, e.Kernel, e.Arch)
		}
	}
	return b, nil
}

// lineOf returns the line of a decoding error.
func lineOf(err error, data []byte) int {
	at := len(data)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch _, name, unknown := strings.Cut(err.Error(), "unknown field "); {
	case errors.As(err, &syntax):
		at = int(syntax.Offset)
	case errors.As(err, &kind):
		at = int(kind.Offset)
	case unknown:
		at = bytes.Index(data, []byte(name))
	}
	return 1 + bytes.Count(data[:max(0, min(at, len(data)))], []byte("\n"))
}
