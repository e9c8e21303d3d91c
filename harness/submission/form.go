package submission

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/grade"
	"kernellab/harness/trace"
)

// ReadAnswers reads the text of a file of answers. An answer that cannot be read is
// [grade.Invalid]; an unanswered question has none.
func ReadAnswers(text []byte, questions []grade.Question) (grade.Answers, []*Problem) {
	r := &answersReader{questions: questions, answers: grade.Answers{}}
	r.read(text)
	return r.answers, r.problems
}

// ParseAnswer parses the answer to one question, which has the same form as in a file of
// answers: the items of an order or a set, or else one word.
func ParseAnswer(q grade.Question, words ...string) (any, error) {
	if q.Type == grade.TypeOrder || q.Type == grade.TypeSet {
		return several(q, words)
	}
	if len(words) != 1 {
		return nil, fmt.Errorf("want one answer: %s", wanted(q))
	}
	value, err := plain(q, words[0])
	if err != nil {
		return nil, err
	}
	return value, nil
}

// Wanted describes an answer to the question: "a number of bytes such as 24 or 0x18".
func Wanted(q grade.Question) string { return wanted(q) }

// FormatAnswer writes an answer as it stands behind the colon in a file of answers.
// ReadAnswers reads it back. A nil answer is "".
func FormatAnswer(q grade.Question, a grade.Answer) string {
	if v, ok := a[""]; ok && len(a) == 1 {
		return formatValue(q, v)
	}
	var all []string
	for _, where := range slices.Sorted(maps.Keys(a)) {
		if where != "" {
			all = append(all, where+": "+formatValue(q, a[where]))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return "{" + strings.Join(all, ", ") + "}"
}

func formatValue(q grade.Question, v any) string {
	switch v := v.(type) {
	case int:
		if q.Type == grade.TypeAddress {
			return trace.Word(v).String()
		}
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case string:
		return scalar(v)
	case []string:
		var items []string
		for _, s := range v {
			items = append(items, scalar(s))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return ""
}

// bare matches words that YAML reads as this text without quotes.
var bare = regexp.MustCompile(`^[A-Za-z_]['A-Za-z0-9_./-]*( ['A-Za-z0-9_./-]+)*$`)

// scalar writes a text as a YAML scalar.
func scalar(s string) string {
	reserved := []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
	if bare.MatchString(s) && !slices.Contains(reserved, strings.ToLower(s)) {
		return s
	}
	quoted, _ := json.Marshal(s) // a string of JSON is one of YAML
	return string(quoted)
}
