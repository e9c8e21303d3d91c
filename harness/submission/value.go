package submission

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"kernellab/harness/grade"
	"kernellab/internal/nearest"
)

// plain parses an answer that is one word or number.
func plain(q grade.Question, text string) (any, error) {
	switch q.Type {
	case grade.TypeNumber:
		return number(q, text)
	case grade.TypeAddress:
		return address(q, text)
	case grade.TypeSymbol:
		return symbol(q, text)
	}
	return choose(text, q.Names())
}

// choose returns the name that equals text, ignoring case and repeated spaces.
func choose(text string, names []string) (string, error) {
	same := func(n string) bool {
		return strings.EqualFold(strings.Join(strings.Fields(n), " "), strings.Join(strings.Fields(text), " "))
	}
	if i := slices.IndexFunc(names, same); i >= 0 {
		return names[i], nil
	}
	if near := nearest.Suggest(text, names); near != "" {
		return "", fmt.Errorf("%q is not one of the choices%s", clip(text), near)
	}
	return "", fmt.Errorf("%q is not one of the choices: %s", clip(text), strings.Join(names, ", "))
}

var (
	whole     = regexp.MustCompile(`^[+-]?([0-9]+|0[xX][0-9a-fA-F]+)$`)
	decimal   = regexp.MustCompile(`^[+-]?[0-9]+\.[0-9]+$`)
	hexDigits = regexp.MustCompile(`^[0-9a-fA-F]{16}$`)
	function  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.$]{0,127}$`)
)

// number parses 24, -1, 0x18, 2.5, and with the question's unit 24 bytes, 16 KiB.
func number(q grade.Question, text string) (any, error) {
	digits, factor := unit(q, strings.TrimSpace(text))
	bare := strings.TrimLeft(digits, "+-")
	switch {
	case whole.MatchString(digits) && len(bare) > 1 && bare[0] == '0' && bare[1] != 'x' && bare[1] != 'X':
		return nil, fmt.Errorf("%q begins with 0, which some read as octal: write %s or 0x…", clip(text), strings.TrimLeft(bare, "0"))
	case whole.MatchString(digits):
		n, err := strconv.ParseInt(digits, 0, 64)
		if err != nil && digits[0] != '-' {
			var u uint64
			u, err = strconv.ParseUint(strings.TrimPrefix(digits, "+"), 0, 64)
			n = int64(u)
		}
		if err != nil || factor > 1 && (n > math.MaxInt64/factor || n < math.MinInt64/factor) {
			return nil, fmt.Errorf("%q does not fit in 64 bits", clip(text))
		}
		return int(n * factor), nil
	case decimal.MatchString(digits):
		f, err := strconv.ParseFloat(digits, 64)
		if err == nil {
			return f * float64(factor), nil
		}
	}
	return nil, fmt.Errorf("want %s, not %q", wanted(q), clip(text))
}

// unit splits a number and its unit, if the question has one.
func unit(q grade.Question, text string) (digits string, factor int64) {
	if q.Unit == "" {
		return text, 1
	}
	units := map[string]int64{q.Unit: 1, strings.TrimSuffix(q.Unit, "s"): 1}
	if q.Unit == "bytes" {
		units["KiB"], units["MiB"] = 1<<10, 1<<20
	}
	at := strings.LastIndexAny(text, "0123456789")
	if at < 0 {
		return text, 1
	}
	// Hexadecimal digits may be letters, so look for a space before the unit.
	if i := strings.IndexByte(text, ' '); i >= 0 {
		at = i - 1
	}
	for name, factor := range units {
		if strings.EqualFold(strings.TrimSpace(text[at+1:]), name) {
			return text[:at+1], factor
		}
	}
	return text, 1
}

// address parses 0xffffffff81000000, and the same without 0x as in kallsyms.
func address(q grade.Question, text string) (any, error) {
	t := strings.ToLower(strings.TrimSpace(text))
	hex, prefixed := strings.CutPrefix(t, "0x")
	if prefixed || hexDigits.MatchString(t) {
		if n, err := strconv.ParseUint(hex, 16, 64); err == nil {
			return int(n), nil
		}
	}
	return nil, fmt.Errorf("want %s, not %q", wanted(q), clip(text))
}

func symbol(q grade.Question, text string) (any, error) {
	name := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "()"))
	if !function.MatchString(name) {
		return nil, fmt.Errorf("want %s, not %q", wanted(q), clip(text))
	}
	return name, nil
}
