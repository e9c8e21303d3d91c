package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"kernellab/harness/class"
)

// ciScripts are the shell scripts of an example for CI, with the values of its
// matrix in the place of their names.
type ciScripts []string

// workflow is as much of GitHub's format as the example uses.
type workflow struct {
	Name        string            `yaml:"name"`
	On          any               `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		Name     string `yaml:"name"`
		Needs    string `yaml:"needs"`
		If       string `yaml:"if"`
		RunsOn   string `yaml:"runs-on"`
		Image    string `yaml:"container"`
		Timeout  int    `yaml:"timeout-minutes"`
		Strategy struct {
			FailFast bool `yaml:"fail-fast"`
			Matrix   struct {
				Include []map[string]string `yaml:"include"`
			} `yaml:"matrix"`
		} `yaml:"strategy"`
		Env   map[string]string `yaml:"env"`
		Steps []struct {
			Name  string            `yaml:"name"`
			ID    string            `yaml:"id"`
			If    string            `yaml:"if"`
			Uses  string            `yaml:"uses"`
			With  map[string]string `yaml:"with"`
			Env   map[string]string `yaml:"env"`
			Dir   string            `yaml:"working-directory"`
			Shell string            `yaml:"shell"`
			Run   string            `yaml:"run"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

// pipeline is as much of GitLab's.
type pipeline map[string]struct {
	Image     string            `yaml:"image"`
	Timeout   string            `yaml:"timeout"`
	Needs     []string          `yaml:"needs"`
	When      string            `yaml:"when"`
	Parallel  parallel          `yaml:"parallel"`
	Variables map[string]string `yaml:"variables"`
	Cache     struct {
		Key   string   `yaml:"key"`
		Paths []string `yaml:"paths"`
	} `yaml:"cache"`
	Before    []string `yaml:"before_script"`
	Script    []string `yaml:"script"`
	Artifacts struct {
		When    string            `yaml:"when"`
		Expire  string            `yaml:"expire_in"`
		Paths   []string          `yaml:"paths"`
		Reports map[string]string `yaml:"reports"`
	} `yaml:"artifacts"`
}

// parallel is a number of jobs, or a matrix.
type parallel struct {
	Matrix []map[string]string
}

func (p *parallel) UnmarshalYAML(text []byte) error {
	var n int
	if err := yaml.Unmarshal(text, &n); err == nil {
		p.Matrix = []map[string]string{{"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": strconv.Itoa(n)}}
		return nil
	}
	var m struct {
		Matrix []map[string]string `yaml:"matrix"`
	}
	err := yaml.UnmarshalWithOptions(text, &m, yaml.Strict())
	p.Matrix = m.Matrix
	return err
}

// indexedJob is as much of Kubernetes' batch/v1 as the example uses.
type indexedJob struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		CompletionMode       string `yaml:"completionMode"`
		Completions          int    `yaml:"completions"`
		Parallelism          int    `yaml:"parallelism"`
		BackoffLimitPerIndex int    `yaml:"backoffLimitPerIndex"`
		Template             struct {
			Spec struct {
				RestartPolicy string `yaml:"restartPolicy"`
				Containers    []struct {
					Name      string   `yaml:"name"`
					Image     string   `yaml:"image"`
					Command   []string `yaml:"command"`
					Args      []string `yaml:"args"`
					Resources struct {
						Requests, Limits map[string]string
					} `yaml:"resources"`
					Env          []map[string]string `yaml:"env"`
					VolumeMounts []map[string]string `yaml:"volumeMounts"`
				} `yaml:"containers"`
				Volumes []map[string]any `yaml:"volumes"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

// readStrict reads a YAML file in which nothing may be that v does not know.
func readStrict(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs/ci", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(text, v, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// Names and lists of events are both allowed.
func events(on any) int {
	switch v := on.(type) {
	case map[string]any:
		return len(v)
	case []any:
		return len(v)
	}
	return 0
}

func githubExample(t *testing.T, file string) {
	var w workflow
	readStrict(t, file, &w)
	if events(w.On) == 0 || len(w.Jobs) == 0 {
		t.Fatal("no trigger or no job")
	}
	var scripts ciScripts
	for name, job := range w.Jobs {
		matrix := job.Strategy.Matrix.Include
		if len(matrix) == 0 {
			matrix = []map[string]string{nil} // a job by itself
		}
		if job.RunsOn == "" || len(job.Steps) == 0 || job.Needs != "" && len(w.Jobs[job.Needs].Steps) == 0 {
			t.Errorf("job %s: no runner, no steps, or it needs what there is not", name)
		}
		for i, s := range job.Steps {
			if (s.Uses == "") == (s.Run == "") {
				t.Errorf("job %s: step %d has to have one of uses and run", name, i+1)
			}
			for _, values := range matrix {
				scripts = append(scripts, fill(t, s.Run, regexp.MustCompile(`\$\{\{ *matrix\.(\w+) *\}\}`), values))
			}
		}
	}
	checkScripts(t, scripts)
}

// The shards of a matrix are the whole class: as many as the calls say.
func TestGitHubShards(t *testing.T) {
	var w workflow
	readStrict(t, "grade-github-actions.yml", &w)
	n := len(w.Jobs["grade"].Strategy.Matrix.Include)
	for i, values := range w.Jobs["grade"].Strategy.Matrix.Include {
		if values["shard"] != strconv.Itoa(i+1) {
			t.Errorf("shard %d is %s", i+1, values["shard"])
		}
	}
	for _, s := range w.Jobs["grade"].Steps {
		if strings.Contains(s.Run, "--shard") && !strings.Contains(s.Run, fmt.Sprintf("}}/%d ", n)) {
			t.Errorf("%d shards, but %s", n, s.Run)
		}
	}
}

func gitlabExample(t *testing.T, file string) {
	var p pipeline
	readStrict(t, file, &p)
	var scripts ciScripts
	reports := 0
	for name, job := range p {
		if job.Image == "" || len(job.Script) == 0 {
			t.Errorf("job %s: no image or no script", name)
		}
		if job.Artifacts.Reports["junit"] != "" {
			reports++
		}
		matrix := job.Parallel.Matrix
		if len(matrix) == 0 {
			matrix = []map[string]string{nil}
		}
		for _, values := range matrix {
			for _, line := range append(job.Before, job.Script...) {
				scripts = append(scripts, fill(t, line, regexp.MustCompile(`\$([A-Z_]+)\b`), values))
			}
		}
	}
	if reports != 1 {
		t.Errorf("%d jobs have a JUnit report, want 1", reports)
	}
	checkScripts(t, scripts)
}

func kubernetesExample(t *testing.T, file string) {
	var j indexedJob
	readStrict(t, file, &j)
	pod := j.Spec.Template.Spec
	if j.APIVersion != "batch/v1" || j.Kind != "Job" || j.Spec.CompletionMode != "Indexed" || pod.RestartPolicy != "Never" || len(pod.Containers) != 1 {
		t.Errorf("not an Indexed Job of one container: %+v", j)
	}
	script := strings.Join(pod.Containers[0].Args, "\n")
	if !strings.Contains(script, fmt.Sprintf("--shard $((JOB_COMPLETION_INDEX + 1))/%d ", j.Spec.Completions)) {
		t.Errorf("%d completions, but %s", j.Spec.Completions, script)
	}
	checkScripts(t, ciScripts{strings.ReplaceAll(script, "$((JOB_COMPLETION_INDEX + 1))", "1")})
}

func shellExample(t *testing.T, file string) {
	text, err := os.ReadFile(filepath.Join("../../docs/ci", file))
	if err != nil {
		t.Fatal(err)
	}
	var code []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			code = append(code, line)
		}
	}
	checkScripts(t, ciScripts{strings.NewReplacer("$SLURM_ARRAY_TASK_ID", "1", "$SLURM_ARRAY_TASK_COUNT", "10", "$SLURM_CPUS_PER_TASK", "2").Replace(strings.Join(code, ""))})
}

// pythonExample checks the syntax of a Python script, and the calls of lab in it.
func pythonExample(t *testing.T, file string) {
	text := readFile(t, filepath.Join("../../docs/ci", file))
	if python, err := exec.LookPath("python3"); err == nil {
		cmd := exec.Command(python, "-c", "import ast, sys; ast.parse(sys.stdin.read())")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	lab := regexp.MustCompile(`(?m)^LAB = "(.*)"$`).FindStringSubmatch(text)
	_, script, ok := strings.Cut(text, `script = f"""`)
	script, _, _ = strings.Cut(script, `"""`)
	if lab == nil || !ok {
		t.Fatal("no lab or no script")
	}
	checkScripts(t, ciScripts{strings.ReplaceAll(script, "{LAB}", lab[1])})
}

// Every file in docs/ci is an example with a test of its format, and is in the list
// there. The list has no other.
func TestExamples(t *testing.T) {
	tests := map[string]func(*testing.T, string){
		"github-actions.yml":       githubExample,
		"grade-github-actions.yml": githubExample,
		"classroom50.py":           pythonExample,
		"gitlab-ci.yml":            gitlabExample,
		"grade-gitlab-ci.yml":      gitlabExample,
		"grade-kubernetes.yml":     kubernetesExample,
		"grade-slurm.sh":           shellExample,
		"gradescope.sh":            shellExample,
	}
	files, err := os.ReadDir("../../docs/ci")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if f.Name() == "README.md" {
			continue
		}
		names = append(names, f.Name())
		t.Run(f.Name(), func(t *testing.T) {
			test, ok := tests[f.Name()]
			if !ok {
				t.Fatal("the example has no test: add one to the table")
			}
			test(t, f.Name())
		})
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(tests)), names); diff != "" {
		t.Errorf("files of docs/ci, -tested +there:\n%s", diff)
	}
	var listed []string
	for line := range strings.Lines(readFile(t, "../../docs/ci/README.md")) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 { // no row of the table
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			listed = append(listed, m[1])
		}
	}
	slices.Sort(listed)
	if diff := cmp.Diff(names, listed); diff != "" {
		t.Errorf("the list of docs/ci/README.md, -files +listed:\n%s", diff)
	}
}

// fill puts the values of a matrix in the place of their names.
func fill(t *testing.T, script string, name *regexp.Regexp, values map[string]string) string {
	t.Helper()
	return name.ReplaceAllStringFunc(script, func(s string) string {
		v, ok := values[name.FindStringSubmatch(s)[1]]
		if !ok {
			t.Errorf("%q names %s, which the matrix does not have", script, s)
		}
		return v
	})
}

// checkScripts checks the shell's syntax, and every call of lab against the
// command line there is.
func checkScripts(t *testing.T, scripts ciScripts) {
	t.Helper()
	calls := 0
	for _, script := range scripts {
		if script == "" {
			continue
		}
		cmd := exec.Command("bash", "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q: %v: %s", script, err, out)
		}
		for line := range strings.Lines(script) {
			if _, call, ok := strings.Cut(line, "bin/lab "); ok {
				calls++
				checkCall(t, call)
			}
		}
	}
	if calls == 0 {
		t.Error("the example does not call lab")
	}
}

// checkCall checks one call's command and flags.
func checkCall(t *testing.T, call string) {
	t.Helper()
	if i := strings.IndexAny(call, ">|&;"); i >= 0 {
		call = call[:i]
	}
	call = strings.ReplaceAll(call, `"`, "")
	cmd, rest, err := newApp(strings.NewReader(""), io.Discard, io.Discard).root().Find(strings.Fields(call))
	if err != nil {
		t.Errorf("lab %s: %v", call, err)
		return
	}
	for i, word := range rest { // paths of the example's own, which parsing checks
		switch word {
		case "--submissions", "--submission":
			rest[i+1] = t.TempDir()
		case "--baseline":
			rest[i+1] = filepath.Join("../..", rest[i+1])
		}
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("lab %s: %v", call, err)
	}
	if shard, err := cmd.Flags().GetString("shard"); err == nil && shard != "" {
		if _, err := class.ParseShard(shard); err != nil {
			t.Errorf("lab %s: %v", call, err)
		}
	}
	if base, err := cmd.Flags().GetString("baseline"); err == nil && base != "" {
		if _, err := os.Stat(base); err != nil {
			t.Errorf("lab %s: %v", call, err)
		}
	}
}
