// Package flags has flags whose values are checked when a command line is parsed, so
// that no command begins with a value that it cannot use.
//
// All of them refuse an empty value, which mostly comes from a script's variable that
// is not set: taken for the default, it would run something that nobody asked for.
package flags

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"kernellab/internal/usage"
)

// ErrEmpty is the error of an empty value.
var ErrEmpty = errors.New("the value is empty: give one, or leave the flag out")

// value is a flag of one value. Its text is empty while it is T's zero value.
type value[T comparable] struct {
	into  *T
	kind  string // names the value in help
	parse func(string) (T, error)
}

func newValue[T comparable](into *T, fallback T, kind string, parse func(string) (T, error)) pflag.Value {
	*into = fallback
	return value[T]{into, kind, parse}
}

func (v value[T]) Set(text string) error {
	if text == "" {
		return ErrEmpty
	}
	x, err := v.parse(text)
	if err == nil {
		*v.into = x
	}
	return err
}

func (v value[T]) String() string {
	var zero T
	if *v.into == zero {
		return ""
	}
	return fmt.Sprint(*v.into)
}

func (v value[T]) Type() string { return v.kind }

// Text is a flag of any text that check, if there is one, has no error for.
func Text(into *string, fallback string, check ...func(string) error) pflag.Value {
	return newValue(into, fallback, "string", func(s string) (string, error) {
		for _, c := range check {
			if err := c(s); err != nil {
				return "", err
			}
		}
		return s, nil
	})
}

// OutFolder checks the path of a folder to write into, which need not exist.
func OutFolder(path string) error {
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("%s is a file: name a folder", at)
		case err == nil || at == filepath.Dir(at):
			return nil
		}
	}
}

// OutFile checks the path of a file to write or replace.
func OutFile(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("it is a folder: name a file, such as %s", filepath.Join(path, "NAME"))
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no folder %s: make it, or name a file in another", filepath.Dir(path))
	}
	return nil
}

// InFolder checks the path of a folder to read.
func InFolder(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("there is no such folder: %w", errors.Unwrap(err))
	case !info.IsDir():
		return errors.New("it is a file: name a folder")
	}
	return nil
}

// InFile checks the path of a file to read.
func InFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("there is no such file: %w", errors.Unwrap(err))
	case info.IsDir():
		return errors.New("it is a folder: name a file")
	}
	return nil
}

// Choice is a flag of one of words; kind is what they are, such as "format".
func Choice(into *string, fallback, kind string, words []string) pflag.Value {
	return newValue(into, fallback, "string", func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", usage.Unknown(kind, s, words, "use "+strings.Join(words, ", "))
		}
		return s, nil
	})
}

// ended is a flag with a value that there was.
type ended struct {
	pflag.Value
	word, text string
}

func (e ended) Set(text string) error {
	if text == e.word {
		return usage.Errorf("%s", e.text)
	}
	return e.Value.Set(text)
}

// Ended is a flag that has the error text for a word that v took once.
func Ended(v pflag.Value, word, text string) pflag.Value { return ended{v, word, text} }

// Number is a flag of a number from least to most.
func Number[T int | uint32](into *T, fallback, least, most T) pflag.Value {
	return newValue(into, fallback, fmt.Sprintf("%T", fallback), func(s string) (T, error) {
		n, err := strconv.ParseInt(s, 0, 64)
		switch {
		case err == nil && n >= int64(least) && n <= int64(most):
			return T(n), nil
		case int64(most) == math.MaxInt:
			return 0, fmt.Errorf("want a number, %d or more", least)
		}
		return 0, fmt.Errorf("want a number from %d to %d", least, most)
	})
}

// Percent is a flag of a share, 0% to 100%.
func Percent(into *int) pflag.Value {
	return newValue(into, 0, "share", func(s string) (int, error) {
		n, err := strconv.Atoi(strings.TrimSuffix(s, "%"))
		if err != nil || n < 0 || n > 100 {
			return 0, errors.New("want 0% to 100%")
		}
		return n, nil
	})
}

// Duration is a flag of a time over 0.
func Duration(into *time.Duration) pflag.Value {
	return newValue(into, 0, "duration", func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return 0, errors.New("want a time over 0, such as 20s")
		}
		return d, nil
	})
}

// list is a flag of texts.
type list struct {
	into *[]string
	most int
}

// Texts is a flag that may be repeated, up to most times; of more, the last ones count.
func Texts(into *[]string, most int) pflag.Value { return list{into, most} }

func (l list) Set(text string) error {
	if text == "" {
		return ErrEmpty
	}
	*l.into = append(*l.into, text)
	*l.into = (*l.into)[max(0, len(*l.into)-l.most):]
	return nil
}

func (l list) String() string { return strings.Join(*l.into, " ") }

func (l list) Type() string {
	if l.most == 1 {
		return "string"
	}
	return "stringArray"
}

// Problem writes pflag's error about a value as the other messages are written.
func Problem(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	cause := invalid.Unwrap()
	if usage.Is(cause) { // which names the value
		return cause
	}
	text := invalid.GetValue()
	if text == "" {
		text = `""`
	}
	return usage.Errorf("--%s %s: %w", invalid.GetFlag().Name, text, cause)
}
