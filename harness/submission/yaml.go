package submission

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"kernellab/internal/yamlnode"
)

// Limits of a file of answers, which bound the cost of parsing it: the library's parser
// is recursive, and compares each key with all previous ones.
const (
	maxTokens = 4000
	maxNested = 8
)

// parse returns the document of a file, nil for an empty one.
func parse(data []byte) (body ast.Node, problem *Problem) {
	at := func(line int, format string, args ...any) (ast.Node, *Problem) {
		return nil, &Problem{Part: PartAnswers, File: AnswersFile, Line: line, Message: fmt.Sprintf(format, args...)}
	}
	// The YAML library has panicked on malformed input.
	defer func() {
		if recover() != nil {
			body, problem = at(0, "not YAML")
		}
	}()
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	if !readable(string(data)) {
		return at(0, "not a text file: save it as UTF-8")
	}
	tokens := lexer.Tokenize(string(data))
	if line, why := refuse(tokens); why != "" {
		return at(line, "%s", why)
	}
	f, err := parser.Parse(tokens, 0)
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			return at(syntax.GetToken().Position.Line, "not YAML: %s", syntax.GetMessage())
		}
		return at(0, "not YAML: %v", err)
	}
	if len(f.Docs) > 1 {
		return at(0, "%d YAML documents, want one: remove the lines ---", len(f.Docs))
	}
	if len(f.Docs) == 0 || f.Docs[0].Body == nil {
		return nil, nil
	}
	switch f.Docs[0].Body.(type) {
	case *ast.NullNode, *ast.CommentGroupNode:
		return nil, nil
	}
	return f.Docs[0].Body, nil
}

// readable reports whether a file is text.
func readable(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

// refuse returns the line of the first token that answers may not have, and why.
func refuse(tokens token.Tokens) (line int, why string) {
	if len(tokens) > maxTokens {
		return 0, fmt.Sprintf("too long: %d words and signs, and the limit is %d", len(tokens), maxTokens)
	}
	nested := 0
	for _, t := range tokens {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			why = fmt.Sprintf("%q is an anchor or alias of YAML, which answers may not use: put it in quotes if it is text", t.Value)
		case token.TagType, token.DirectiveType, token.MappingKeyType:
			why = fmt.Sprintf("%q has a meaning in YAML that answers may not use: put it in quotes if it is text", clip(t.Value))
		case token.InvalidType:
			why = "not YAML: " + t.Error
		case token.SequenceStartType, token.MappingStartType:
			if nested++; nested > maxNested {
				why = fmt.Sprintf("brackets nested more than %d deep", maxNested)
			}
		case token.SequenceEndType, token.MappingEndType:
			nested--
		}
		if why != "" {
			return t.Position.Line, why
		}
	}
	return 0, ""
}

// pairs returns the entries of a mapping whose keys are plain.
func pairs(n ast.Node) ([]yamlnode.Pair, bool) {
	all, ok := yamlnode.Pairs(n)
	if !ok || slices.ContainsFunc(all, func(p yamlnode.Pair) bool { return !p.Named }) {
		return nil, false
	}
	return all, true
}
