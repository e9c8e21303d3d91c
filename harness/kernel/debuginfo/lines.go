package debuginfo

import (
	"cmp"
	"debug/dwarf"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
)

// row is one row of the line table.
type row struct {
	addr uint64
	file string
	line int
	stmt bool
	end  bool // end of a sequence
}

// lineTable collects the rows of a line table that are used. Because the compiler
// moves and merges code, a kernel has many rows with the same address. lineTable
// chooses among them as gdb does (lnp_state_machine::record_line and record_line_p in
// gdb/dwarf2/read.c), so that both show the same line.
type lineTable struct {
	done     [][]row // complete sequences
	seq      []row
	addr     uint64 // of the previous row
	stmtHere bool   // a row at addr is a statement
	line     int    // of the last row in seq
	parted   bool   // a row of that line has a discriminator
}

func (t *lineTable) add(e dwarf.LineEntry) {
	r := row{addr: e.Address, line: e.Line, stmt: e.IsStmt, end: e.EndSequence}
	if e.File != nil {
		r.file = e.File.Name
	}
	if r.end {
		if len(t.seq) > 0 && t.seq[0].addr != 0 { // the linker sets 0 for discarded code
			t.done = append(t.done, append(t.seq, r))
		}
		*t = lineTable{done: t.done}
		return
	}
	if t.addr != r.addr {
		t.addr, t.stmtHere = r.addr, false
	}
	first := len(t.seq) == 0
	moved := !first && t.seq[len(t.seq)-1].file != r.file
	t.parted = e.Discriminator != 0 || t.parted && r.line == t.line
	// Ignore a row that is not a statement and has another file, after a statement at
	// the same address.
	astray := moved && !r.stmt && t.stmtHere
	t.stmtHere = t.stmtHere || r.stmt
	if astray || r.line == 0 {
		return
	}
	// Merge the parts of a line that differ in their discriminators.
	again := !first && !moved && r.line == t.line && t.parted
	if t.line = r.line; !again {
		t.seq = append(t.seq, r)
	}
}

// lines reads the unit's line table.
func (u *unit) lines() error {
	if u.lined {
		return nil
	}
	u.lined = true
	rd, err := u.data.LineReader(u.root)
	if err != nil || rd == nil {
		return err
	}
	var t lineTable
	for {
		var e dwarf.LineEntry
		err := rd.Next(&e)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("the line table: %w", err)
		}
		t.add(e)
	}
	slices.SortStableFunc(t.done, func(a, b []row) int { return cmp.Compare(a[0].addr, b[0].addr) })
	u.rows = slices.Concat(t.done...)
	u.files = rd.Files()
	return nil
}

// line returns the source line of an address. Of several rows at one address it uses
// the last, but it prefers statements.
func (u *unit) line(pc uint64) (file string, line int, err error) {
	if err := u.lines(); err != nil {
		return "", 0, err
	}
	i := sort.Search(len(u.rows), func(i int) bool { return u.rows[i].addr > pc }) - 1
	if i < 0 || u.rows[i].end {
		return "", 0, nil
	}
	best := i
	for j := i; j >= 0 && !u.rows[best].stmt && u.rows[j].addr == u.rows[i].addr && u.rows[j].file == u.rows[i].file && !u.rows[j].end; j-- {
		if u.rows[j].stmt {
			best = j
		}
	}
	return u.shown(u.rows[best].file), u.rows[best].line, nil
}

// file returns the name of a file of the unit, by its number in the line table.
func (u *unit) file(n int64) string {
	if err := u.lines(); err != nil || n < 0 || n >= int64(len(u.files)) || u.files[n] == nil {
		return ""
	}
	return u.shown(u.files[n].Name)
}
