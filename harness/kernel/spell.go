package kernel

import (
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// spell returns a type in C's notation: "const char *", "struct list_head",
// "void (*)(struct rq *)", "char[16]".
func spell(t btf.Type) string { return strings.TrimSpace(declare(t, "", 0)) }

// declare returns the declaration of a declarator inner with type t.
func declare(t btf.Type, inner string, depth int) string {
	const maxDepth = 24
	if depth > maxDepth {
		return "..." + inner
	}
	depth++
	switch t := t.(type) {
	case *btf.Pointer:
		switch target := btf.UnderlyingType(t.Target).(type) {
		case *btf.FuncProto, *btf.Array:
			// A typedef keeps its name.
			if _, named := skipTags(t.Target).(*btf.Typedef); !named {
				return declare(target, "(*"+inner+")", depth)
			}
		}
		return declare(t.Target, join("*", inner), depth)
	case *btf.Array:
		return declare(t.Type, inner+"["+strconv.Itoa(int(t.Nelems))+"]", depth)
	case *btf.FuncProto:
		args := make([]string, len(t.Params))
		for i, p := range t.Params {
			args[i] = strings.TrimSpace(declare(p.Type, "", depth))
		}
		if len(args) == 0 {
			args = []string{"void"}
		}
		return declare(t.Return, inner+"("+strings.Join(args, ", ")+")", depth)
	case *btf.Const:
		return qualify("const", t.Type, inner, depth)
	case *btf.Volatile:
		return qualify("volatile", t.Type, inner, depth)
	case *btf.Restrict:
		return qualify("restrict", t.Type, inner, depth)
	case *btf.TypeTag:
		return declare(t.Type, inner, depth)
	}
	return join(baseName(t), inner)
}

func skipTags(t btf.Type) btf.Type {
	for {
		tag, ok := t.(*btf.TypeTag)
		if !ok {
			return t
		}
		t = tag.Type
	}
}

// qualify puts a qualifier before a base type, and after a pointer.
func qualify(q string, t btf.Type, inner string, depth int) string {
	if _, ok := t.(*btf.Pointer); ok {
		return declare(t, join(q, inner), depth)
	}
	return q + " " + declare(t, inner, depth)
}

func join(base, inner string) string {
	switch {
	case inner == "":
		return base
	case strings.HasPrefix(inner, "["), strings.HasPrefix(inner, "(") && base == "*", base == "*" && inner[0] == '*':
		return base + inner
	}
	return base + " " + inner
}

func baseName(t btf.Type) string {
	name := t.TypeName()
	if name == "" {
		name = "{...}"
	}
	switch t := t.(type) {
	case *btf.Void:
		return "void"
	case *btf.Struct:
		return "struct " + name
	case *btf.Union:
		return "union " + name
	case *btf.Enum:
		return "enum " + name
	case *btf.Fwd:
		if t.Kind == btf.FwdUnion {
			return "union " + name
		}
		return "struct " + name
	}
	return name
}
