package predict

import (
	"fmt"
	"strconv"
	"strings"

	"kernellab/harness/grade"
	"kernellab/harness/submission"
)

// Copied reports whether the answer can only be copied from a run, so that nobody can
// predict it.
func Copied(q grade.Question) bool { return q.Type == grade.TypeAddress }

// Parse parses a line that answers a question. Choices are given by their numbers, from
// 1, or as they are written. "none" is a set of none of them.
func Parse(q grade.Question, line string) (any, error) {
	line = strings.TrimSpace(line)
	if len(q.Choices) == 0 {
		return submission.ParseAnswer(q, line)
	}
	names := q.Names()
	if q.Type == grade.TypeChoice {
		name, err := numbered(line, names)
		if err != nil {
			return nil, err
		}
		return submission.ParseAnswer(q, name)
	}
	if q.Type == grade.TypeSet && strings.EqualFold(line, "none") {
		return submission.ParseAnswer(q)
	}
	separator := func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }
	if strings.ContainsFunc(line, func(r rune) bool { return !separator(r) && (r < '0' || r > '9') }) {
		separator = func(r rune) bool { return r == ',' } // words, which may have spaces
	}
	var words []string
	for _, w := range strings.FieldsFunc(line, separator) {
		name, err := numbered(strings.TrimSpace(w), names)
		if err != nil {
			return nil, err
		}
		words = append(words, name)
	}
	return submission.ParseAnswer(q, words...)
}

// numbered returns the name that a number stands for, or the word as it is.
func numbered(word string, names []string) (string, error) {
	n, err := strconv.Atoi(word)
	switch {
	case err != nil:
		return word, nil
	case n < 1 || n > len(names):
		return "", fmt.Errorf("want a number from 1 to %d, not %s", len(names), word)
	}
	return names[n-1], nil
}

// form describes how a question is answered in a line.
func form(q grade.Question) string {
	switch q.Type {
	case grade.TypeChoice:
		return fmt.Sprintf("a number from 1 to %d", len(q.Choices))
	case grade.TypeSet:
		return "the numbers of all that are right, such as 1 2, or none"
	case grade.TypeOrder:
		return "all numbers in the right order, such as 2 1 …"
	}
	return submission.Wanted(q)
}
