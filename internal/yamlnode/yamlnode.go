// Package yamlnode reads the nodes of a YAML document: mappings in the file's order with
// line numbers, and plain values as they are written in the file. It does not check the
// document's structure, and imports nothing of this module.
package yamlnode

import "github.com/goccy/go-yaml/ast"

// Pair is one entry of a mapping.
type Pair struct {
	Key   string
	Named bool // the key is a plain value
	Line  int  // from 1; 0 if unknown
	Value ast.Node
}

// Pairs returns the entries of a mapping in the file's order. ok is false if n is not a
// mapping.
func Pairs(n ast.Node) (pairs []Pair, ok bool) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return nil, false
	}
	for _, v := range values {
		key, named := Scalar(v.Key)
		pairs = append(pairs, Pair{key, named, Line(v.Key), v.Value})
	}
	return pairs, true
}

// Line returns the line of a node, 0 if unknown.
func Line(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

// Scalar returns the text of a plain value as written in the file, "" for null.
func Scalar(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.NullNode:
		return "", true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}
