package yamlnode_test

import (
	"fmt"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/google/go-cmp/cmp"

	"kernellab/internal/yamlnode"
)

func TestPairs(t *testing.T) {
	f, err := parser.ParseBytes([]byte("b: 0x10\na: |\n  text\n\nnone:\nhalf: .5\nlist: [1]\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	pairs, ok := yamlnode.Pairs(f.Docs[0].Body)
	if !ok {
		t.Fatal("no mapping")
	}
	var got []string
	for _, p := range pairs {
		text, plain := yamlnode.Scalar(p.Value)
		got = append(got, fmt.Sprintf("%d %q %t: %q %t", p.Line, p.Key, p.Named, text, plain))
	}
	want := []string{
		`1 "b" true: "0x10" true`, `2 "a" true: "text\n" true`, `5 "none" true: "" true`,
		`6 "half" true: ".5" true`, `7 "list" true: "" false`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pairs (-want +got):\n%s", diff)
	}
	one, ok := yamlnode.Pairs(&ast.NullNode{})
	if ok || one != nil || yamlnode.Line(nil) != 0 {
		t.Error("nothing is a mapping, or has a line")
	}
}
