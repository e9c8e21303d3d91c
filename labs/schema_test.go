package labs_test

import (
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"kernellab/harness/arch"
	"kernellab/harness/expr"
	"kernellab/internal/schematest"
	"kernellab/labs"
)

func labSchema(t *testing.T) schematest.Schema {
	t.Helper()
	return schematest.Load(t, "lab.schema.json")
}

func validate(t *testing.T, s schematest.Schema, yamlText string) error {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(yamlText))
	if err != nil {
		t.Fatal(err)
	}
	return s.Check(t, string(j))
}

func TestSchemaOfLabs(t *testing.T) {
	s := labSchema(t)
	for _, l := range all(t) {
		b, err := fs.ReadFile(l.Program(), "lab.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, s, string(b)); err != nil {
			t.Errorf("%s: %v", l.Name, err)
		}
		if !strings.HasPrefix(string(b), "# yaml-language-server: $schema=../lab.schema.json\n") {
			t.Errorf("%s: the first line does not name the schema for editors", l.Name)
		}
	}
}

// TestSchemaAgrees checks that the schema and the loader take the same for a lab
// where a schema can tell.
func TestSchemaAgrees(t *testing.T) {
	s := labSchema(t)
	good := unasked(t)
	for name, change := range map[string][2]string{
		"the file as it is":         {"", ""},
		"unknown key":               {"order: 1", "ordre: 1"},
		"unknown key of a point":    {"    finds: {child: arg.dst}", "    fnids: {child: arg.dst}"},
		"unknown key of a check":    {"    format: bytes", "    fromat: bytes"},
		"unknown key of program":    {"  exit: 0", "  exits: 0"},
		"unknown format":            {"format: bytes", "format: byte"},
		"unknown architecture":      {"riscv64: arg.p.thread.ra", "risc: arg.p.thread.ra"},
		"no title":                  {"title: A process is born\n", ""},
		"order is a word":           {"order: 1", "order: first"},
		"order is negative":         {"order: 1", "order: -1"},
		"no time at all":            {"minutes: 90", "minutes: 0"},
		"builds on a list of lists": {"builds_on: first-look", "builds_on: [[first-look]]"},
		"name has capitals":         {"name: fork-new", "name: Fork"},
		"exit is large":             {"exit: 0", "exit: 256"},
		"hits is 0":                 {"- point: copy_process\n", "- point: copy_process\n    hits: 0\n"},
		"hits is a range":           {"- point: copy_process\n", "- point: copy_process\n    hits: 1..3\n"},
		"hits has no limit":         {"- point: copy_process\n", "- point: copy_process\n    hits: 1..\n"},
		"hits is a word":            {"- point: copy_process\n", "- point: copy_process\n    hits: often\n"},
		"hits is below 0":           {"- point: copy_process\n", "- point: copy_process\n    hits: -1\n"},
		"another name":              {"- point: copy_thread\n", "- point: copy_process\n    as: copied\n    task: parent\n    means: x\n  - point: copy_thread\n"},
		"another name, no word":     {"- point: copy_thread\n", "- point: copy_thread\n    as: a-b\n"},
		"a return":                  {"- point: copy_thread\n", "- return: copy_process\n    as: copied\n    task: parent\n    means: x\n  - point: copy_thread\n"},
		"a return without a name":   {"- point: copy_thread\n", "- return: copy_process\n"},
		"a point and a return":      {"- point: copy_thread\n", "- point: copy_thread\n    return: copy_process\n    as: copied\n"},
		"armed by several":          {"armed: ret_from_fork", "armed: [ret_from_fork, copy_thread]"},
		"not required":              {"- point: copy_process\n", "- point: copy_process\n    required: false\n"},
		"absent somewhere":          {"- point: copy_process\n", "- point: copy_process\n    absent: {riscv64: it has none}\n"},
		"only somewhere":            {"- point: copy_process\n", "- point: copy_process\n    only: riscv64\n"},
		"only on no machine":        {"- point: copy_process\n", "- point: copy_process\n    only: risc\n"},
		"absent on no machine":      {"- point: copy_process\n", "- point: copy_process\n    absent: {risc: it has none}\n"},
		"a task with a condition":   {"  child: the task that it makes", "  child: {means: the task that it makes, when: task.pid > 1}"},
		"a task without a meaning":  {"  child: the task that it makes", "  child: {when: task.pid > 1}"},
		"a signal":                  {"  exit: 0", "  signal: SIGSEGV"},
		"unknown signal":            {"  exit: 0", "  signal: SIGSEG"},
		"arguments":                 {"  exit: 0", "  args: [a, b]"},
		"a pattern":                 {"    - This is Parent Process!\n", "    - matches: Child C.*\n"},
		"that":                      {"    observed: read.stack_end\n    expected: \"0x57ac6e9d\"\n", "    that: read.stack_end == 0x57ac6e9d\n"},
		"that, and expected":        {"    observed: read.stack_end\n", "    that: read.stack_end == 0x57ac6e9d\n"},
		"neither that nor expected": {"    observed: read.stack_end\n    expected: \"0x57ac6e9d\"\n", ""},
		"a line of life":            {"- point: copy_process\n", "- point: copy_process\n    lifetime: '\"copies\"'\n"},
		"within a call":             {"    within: sys_clone\n", "    within: [sys_clone]\n"},
		"an order of lines":         {"      after: This is Child Process!\n", ""},
		"an instead of nothing":     {"  sys_fork: fork", "  sys_fork: \"\" #"},
		"an instead that is a list": {"instead:\n", "instead: [sys_fork]\nx:\n"},
		"hits is 2":                 {"- point: copy_process\n", "- point: copy_process\n    hits: 2\n"},
		"score is 3":                {"score: 6", "score: 3"},
		"the call scores 0":         {"call: 18", "call: 0"},
		"the call scores a word":    {"call: 18", "call: some"},
		"no marks for the exit":     {", exit: 6}", "}"},
		"expected is a number":      {`expected: "0x57ac6e9d"`, "expected: 1"},
		"entry is a word":           {"entry: true", "entry: indeed"},
		"two lines in an output":    {"    - This is Parent Process!\n", "    - \"Child\\nComplete\"\n"},
		"a scored check, no name":   {"sequence: {name: the order of the parent's steps and the child's start}", "sequence: {score: 1}"},
		"means is missing":          {"    means: The child is complete", "    when: The child is complete"},
		"when differs by machine":   {"    when: arg.p == child", "    when: {x86_64: arg.p == child, riscv64: arg.p == child}"},
		"when lacks one machine":    {"    when: arg.p == child", "    when: {x86_64: arg.p == child}"},
		"the points are a mapping":  {"points:\n  - point: sys_clone", "points:\n    point: sys_clone"},
		"output is not a list":      {"  output:\n    - This is Child Process!", "  output: x\n  exit: 1\n  #"},
		"reads is a list":           {"    reads:\n      flags: arg.args.flags\n      exit_signal: arg.args.exit_signal\n", "    reads: [arg.args.flags]\n"},
		"a check without a purpose": {"    why: The child's exit_code", "    format: The child's exit_code"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, change[0], change[1], 1)
			if change[0] != "" && text == good {
				t.Fatalf("%q is not in the file", change[0])
			}
			if _, err := yaml.YAMLToJSON([]byte(text)); err != nil {
				t.Skip("not YAML any more")
			}
			_, lerr := labs.Load(folder(text))
			// What the loader refuses for reasons no schema can know.
			if lerr != nil && strings.Contains(lerr.Error(), "when: ") && strings.Contains(lerr.Error(), "unexpected token") {
				t.Skip("refused for its expression")
			}
			serr := validate(t, s, text)
			if (lerr == nil) != (serr == nil) {
				t.Errorf("the loader says %v, the schema says %v", lerr, serr)
			}
		})
	}
}

// TestSchemaKnows checks the words that the schema has to repeat.
func TestSchemaKnows(t *testing.T) {
	data, err := os.ReadFile("lab.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Defs struct {
			Expression struct {
				OneOf []struct {
					Required []string `yaml:"required"`
				} `yaml:"oneOf"`
			} `yaml:"expression"`
			Point struct {
				Properties struct {
					Absent struct {
						Properties map[string]any `yaml:"properties"`
					} `yaml:"absent"`
				} `yaml:"properties"`
			} `yaml:"point"`
			Check struct {
				Properties struct {
					Format struct {
						Enum []string `yaml:"enum"`
					} `yaml:"format"`
				} `yaml:"properties"`
			} `yaml:"check"`
		} `yaml:"$defs"`
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	for what, pair := range map[string][2][]string{
		"architectures": {doc.Defs.Expression.OneOf[1].Required, arch.Names()},
		"absent":        {slices.Sorted(maps.Keys(doc.Defs.Point.Properties.Absent.Properties)), slices.Sorted(slices.Values(arch.Names()))},
		"formats":       {doc.Defs.Check.Properties.Format.Enum, expr.Formats()},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s: the schema has %v, the code %v", what, pair[0], pair[1])
		}
	}
}
