package report_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// junitElement is what the schema says of an element.
type junitElement struct {
	children []string
	text     bool     // has text
	required []string // attributes
	optional []string
}

// junitSchema is the content of junit-10.xsd of the Jenkins xUnit plugin, as far
// as an element of ours may use it: what is not in it is not allowed.
func junitSchema() map[string]junitElement {
	result := junitElement{text: true, optional: []string{"type", "message"}}
	return map[string]junitElement{
		"testsuites": {
			children: []string{"testsuite"},
			optional: []string{"name", "time", "tests", "failures", "errors"},
		},
		"testsuite": {
			children: []string{"testsuite", "properties", "testcase", "system-out", "system-err"},
			required: []string{"name", "tests", "failures", "errors"},
			optional: []string{"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
		},
		"testcase": {
			children: []string{"skipped", "error", "failure", "rerunFailure", "rerunError", "flakyFailure", "flakyError", "system-out", "system-err"},
			required: []string{"name"},
			optional: []string{"time", "classname", "group"},
		},
		"skipped": result, "error": result, "failure": result,
		"properties": {children: []string{"property"}},
		"property":   {required: []string{"name", "value"}},
		"system-out": {text: true}, "system-err": {text: true},
	}
}

// seconds is the schema's form of a time of a suite.
var seconds = regexp.MustCompile(`^[0-9,]*(\.[0-9]*)?$`)

// checkJUnit returns what in a document the schema does not allow.
func checkJUnit(text []byte) (problems []string) {
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	schema := junitSchema()
	d := xml.NewDecoder(bytes.NewReader(text))
	var path []string
	for {
		token, err := d.Token()
		if err == io.EOF {
			return problems
		}
		if err != nil {
			return append(problems, err.Error())
		}
		switch token := token.(type) {
		case xml.StartElement:
			name, parent := token.Name.Local, "the document"
			allowed := []string{"testsuites", "testsuite"}
			if len(path) > 0 {
				parent = path[len(path)-1]
				allowed = schema[parent].children
			}
			if !slices.Contains(allowed, name) {
				add("%s is not allowed in %s", name, parent)
			}
			for _, p := range junitAttributes(schema[name], token) {
				add("%s", p)
			}
			path = append(path, name)
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if len(path) > 0 && !schema[path[len(path)-1]].text && strings.TrimSpace(string(token)) != "" {
				add("text is not allowed in %s", path[len(path)-1])
			}
		}
	}
}

func junitAttributes(e junitElement, token xml.StartElement) (problems []string) {
	name := token.Name.Local
	values := map[string]string{}
	for _, a := range token.Attr {
		if _, again := values[a.Name.Local]; again {
			problems = append(problems, fmt.Sprintf("%s has %s twice", name, a.Name.Local))
		}
		values[a.Name.Local] = a.Value
	}
	for _, attr := range e.required {
		if _, ok := values[attr]; !ok {
			problems = append(problems, name+" lacks its attribute "+attr)
		}
	}
	for _, attr := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(e.required, attr) && !slices.Contains(e.optional, attr) {
			problems = append(problems, fmt.Sprintf("attribute %s is not allowed in %s", attr, name))
		}
		if attr == "time" && name != "testcase" && !seconds.MatchString(values[attr]) {
			problems = append(problems, fmt.Sprintf("%s has time %q", name, values[attr]))
		}
	}
	return problems
}
