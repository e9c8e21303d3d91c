"""Stops gdb at a lab's points, in the lab's tasks only.

"lab debug" has gdb read this file, sets kernel and started, and has gdb read the lab's own
short file, which names the lab's tasks and points and then calls ready(). That file
is generated; this one is written by hand.

kernel is what lab read from the kernel's image and its types:

    roles      {"pc": register, "sp": ..., "ret": ..., "link": ...}; "link" where there is one
    show       the registers to print at a stop
    current    {"register", "percpu": [variable]}: the register that holds the running
               task's task_struct or, with percpu, the base of the variable that does:
               the first that the kernel has
    constants  {name: number} for expressions
    places     {place: {"symbol", "address", "args": {name: {...}}}}. An argument has a
               register, size in bytes, signed, and struct, what it points to. With
               offset, register points to memory that holds the argument there.
    types      {struct: {member: {"offset", "size", "signed", "struct", "kind"}}}. The
               kind is "number", "inside" (the member itself is a struct or an array) or
               "text" (an array of characters).

The expressions are the lab's own, evaluated by Python's eval: see Lab.environment.
"""

import ast
import json  # for lab's session file
import re
from copy import copy
import textwrap

import gdb

kernel = {}
started = False  # the program stands at its first stop

for setting in ("confirm off", "pagination off", "breakpoint pending off", "language c"):
    gdb.execute("set " + setting)
if gdb.convenience_variable("lab_auto") is None:
    gdb.set_convenience_variable("lab_auto", 0)


def register(name):
    """Returns a register's 64 bits, unsigned."""
    return int(gdb.parse_and_eval("$" + name)) & (2**64 - 1)


def memory(address, size):
    """Returns size bytes of the guest's memory; gdb.MemoryError where there is none."""
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address, size=8, signed=False):
    """Returns the number of size bytes at an address."""
    return int.from_bytes(memory(address, size), "little", signed=signed)


def text(address, size=256):
    """Returns the text at an address, up to its final zero."""
    return memory(address, size).split(b"\0")[0].decode(errors="replace")


def place():
    """Returns the place of a stop in the session's past, and whether it has been left: gdb
    has gone back."""
    op, insn, past = gdb.execute("monitor place", to_string=True).split()
    return (int(op), int(insn)), past == "past"


def where(address):
    """Names an address in the kernel, as function+0xoffset."""
    found = re.match(r"(\S+) \+ (\d+) in ", gdb.execute("info symbol %#x" % address, to_string=True))
    return "%s+%#x" % (found[1], int(found[2])) if found else "%#x" % address


def running():
    """Returns the address of the running task's task_struct, in kernel mode."""
    base, variables = register(kernel["current"]["register"]), kernel["current"]["percpu"]
    for name in variables:
        try:
            return word(base + int(gdb.parse_and_eval("(unsigned long)&'%s'" % name)) & (2**64 - 1))
        except gdb.MemoryError:
            raise
        except gdb.error:
            pass
    if variables:
        raise gdb.GdbError("the symbols have none of " + ", ".join(variables))
    return base


def alternatives(expression):
    """Returns the sides of ?? in an expression of a lab, as Python has them."""
    expression = expression.replace("&&", " and ").replace("||", " or ")
    expression = re.sub(r"!(?!=)", " not ", re.sub(r"\bas\(", "as_(", expression))
    return [part.strip() for part in expression.split("??")]


def evaluate(expression, env):
    """Evaluates an expression of a lab. A ?? B is B where this kernel's A has no such
    member or argument."""
    *first, last = alternatives(expression)
    for part in first:
        try:
            return eval(part, env)
        except AttributeError:
            pass
    return eval(last, env)


class Value(int):
    """A number. Where struct is set, it is the address of such a structure, and the
    structure's members are attributes."""

    def __new__(cls, number, struct=""):
        value = int.__new__(cls, number)
        value.struct = struct
        return value

    def __getattr__(self, name):
        if name == "address" and self.struct == "task_struct":
            return int(self)
        field = kernel["types"].get(self.struct, {}).get(name)
        if field is None:
            raise AttributeError("struct %s has no member %s" % (self.struct, name))
        at = self + field["offset"]
        if field["kind"] == "text":
            return text(at, field["size"])
        if field["kind"] == "number":
            at = word(at, field["size"], field["signed"])
        return Value(at, field["struct"])


class Names:
    """An object whose attributes are computed by get, which raises KeyError for a
    name that it does not know."""

    def __init__(self, get):
        self._get = get

    def __getattr__(self, name):
        try:
            return self._get(name)
        except KeyError:
            raise AttributeError(name) from None


class NotYet(Exception):
    """An expression looks at a stop that has not come."""


class Point:
    """A point of the lab, as Lab.point gets it."""

    def __init__(self, name, task, place, **more):
        self.name, self.task, self.place = name, task, place
        self.entry, self.step = False, True
        self.armed, self.until, self.returns, self.when, self.means = [], "", "", "", ""
        self.within, self.most = "", 1
        self.finds, self.reads = {}, {}
        self.__dict__.update(more)
        self.breakpoint = None
        self.on = True  # whether it may come now
        self.met = False  # whether it has come
        self.args, self.values = None, {}  # of its last stop
        self.steps, self.left = None, False  # the steps of its last call: Lab.inside
        self.roles = {}  # registers at its last stop, by what they are for

    def stopped(self, key):
        """Returns what its last stop is known by: its arguments, what was read, and
        registers."""
        if key not in ("arg", "read", *kernel["roles"]):
            raise KeyError(key)
        if self.args is None:
            raise NotYet
        if key in kernel["roles"]:
            return self.roles[key]
        return Names(self.args.__getitem__ if key == "arg" else self.value)

    def value(self, read):
        if read not in self.values:
            raise NotYet
        return self.values[read]

    def enable(self, on):
        self.on = on
        if self.breakpoint is not None and self.breakpoint.is_valid():
            # gdb may go back to where it came before.
            self.breakpoint.enabled = on or started and self.met

    # What changes at stops.
    STATE = ("on", "args", "values", "steps", "left", "roles")

    def save(self):
        return {name: copy(getattr(self, name)) for name in self.STATE}

    def restore(self, state):
        for name, value in state.items():
            setattr(self, name, copy(value))
        self.enable(self.on)


class At(gdb.Function):
    """$lab_at("POINT") is the condition of a point's breakpoint."""

    def __init__(self, lab):
        super().__init__("lab_at")
        self.lab = lab

    def invoke(self, name):
        return self.lab.at(name.string())


class Lab:
    """A lab of this session. Its file calls it lab, and so do the breakpoints."""

    def __init__(self, name, init=False):
        self.name = name
        self.init = init  # its program is the guest's first process
        self.tasks = {}  # role: address of its task_struct, 0 when it is not known
        self.pids = {}  # role: the task's pid, from its first stop on
        self.conditions = {}  # role: how the task is known, of those that no stop finds
        self.points = {}
        # In a session in which gdb goes back:
        self.seen = {}  # (place, point): whether the guest is at the point there
        self.states = {}  # place: the state after the stop there
        At(self)

    def task(self, role, when=""):
        if when:
            self.conditions[role] = when
        self.found(role, 0)

    def found(self, role, address):
        self.tasks[role] = Value(address, "task_struct")
        self.pids.pop(role, None)
        gdb.set_convenience_variable("lab_" + role, int(address))

    def point(self, name, task, place="", **more):
        """Adds a point: Lab.ready sets its breakpoint.

        place is the point's place, its name by default; the other arguments are the
        keys of lab.yaml. returns is the point whose call's return this is, and most is
        how often a point comes in the call that it is within, -1 for any number.
        """
        self.points[name] = Point(name, task, place or name, **more)

    def ready(self):
        """Sets the breakpoints. Those of other points than the entry are disabled
        until the lab's program comes: other tasks pass there too."""
        for point in list(self.points.values()):
            place = kernel["places"].get(point.place)
            if place is None:
                reason = "this kernel has no place for it"
            elif point.returns and point.returns not in self.points:
                reason = "it is the return of %s, which is left out" % point.returns
            else:
                reason = self.refuse(point)
            if reason and point.entry:
                raise gdb.GdbError("point %s: %s" % (point.name, reason))
            if reason:
                print("Left out: %s: %s" % (point.name, reason))
                del self.points[point.name]
                continue
            if point.returns:
                continue  # its address is known once the call has been entered
            gdb.set_convenience_variable(point.place, place["address"])
            gdb.set_convenience_variable("symbol_" + point.place, place["symbol"])
            self.stop_at(point, place["address"])
            point.enable(point.entry)
        print("Ready: %s, in this order." % ", ".join(p.name for p in self.points.values() if p.step))
        if started:
            self.stands()
            return
        start = "%s is the guest's first process" if self.init else "start %s in the guest"
        print("Type continue: %s. Then continue at every stop." % (start % self.name))
        print('"set $lab_auto = 1" continues for you.')

    def stands(self):
        """Does what a stop at a point asks for, in a guest whose program stands at one."""
        for point in list(self.points.values()):
            if point.breakpoint is not None and point.breakpoint.enabled:
                address = int(point.breakpoint.location[1:], 0)
                if address == register(kernel["roles"]["pc"]) and self.at(point.name):
                    self.reached(point.name)
                    return

    def stop_at(self, point, address):
        if point.breakpoint is not None and point.breakpoint.is_valid():
            point.breakpoint.delete()
        point.breakpoint = gdb.Breakpoint("*%#x" % address)
        point.breakpoint.condition = '$lab_at("%s")' % point.name
        point.breakpoint.commands = 'silent\npython lab.reached("%s")\nif $lab_auto\ncontinue\nend' % point.name
        gdb.set_convenience_variable("break_" + point.name, point.breakpoint.number)

    def at(self, name):
        """Reports whether the guest, stopped at a point's address, is at the point. In the
        past it is where it was when gdb came there first."""
        point = self.points[name]
        if not started:
            return self.matches(point)
        where, past = place()
        if (where, name) not in self.seen:
            self.seen[where, name] = not past and point.on and self.matches(point)
        return self.seen[where, name]

    def matches(self, point):
        env = self.here(point)
        try:
            if point.entry:
                # Another point at the entry's place is the same task's next call.
                again = any(p.place == point.place and p.task == point.task and not p.entry and not p.returns
                            for p in self.points.values())
                mine = not (again and self.tasks[point.task])
            elif point.task in self.conditions and not self.tasks[point.task]:
                mine = evaluate(self.conditions[point.task], env)
            else:
                mine = point.task == "any" or self.has(point.task, env["current"])
            return bool(mine and (not point.when or evaluate(point.when, env)) and self.inside(point))
        except (NotYet, gdb.MemoryError):
            return False

    def has(self, role, task):
        """Reports whether a task is that of a role: a new task may be in the same
        task_struct, with another pid."""
        return task == self.tasks[role] and self.pids.get(role, task.pid) == task.pid

    def inside(self, point):
        """Reports whether the task is in the call that a point is a step of. The point
        comes once more than it may when the task has made another call."""
        if not point.within:
            return True
        call = self.points[point.within]
        if call.steps is None:
            return False
        if 0 < point.most <= call.steps.get(point.name, 0):
            call.left = True
        return not call.left

    def reached(self, name):
        """Does what a stop at a point asks for, or what it did when gdb came there first, and
        prints the stop."""
        point = self.points[name]
        env = self.here(point)
        if started:
            where, _ = place()
            if where in self.states:
                self.restore(self.states[where])
            else:
                point.met = True
                self.come(point, env)
                self.states[where] = self.save()
        else:
            self.come(point, env)
        self.show(point, env)

    def save(self):
        return dict(self.tasks), dict(self.pids), {name: point.save() for name, point in self.points.items()}

    def restore(self, state):
        tasks, pids, points = state
        for role, task in tasks.items():
            self.found(role, task)
        self.pids = dict(pids)
        for name, point in points.items():
            self.points[name].restore(point)

    def come(self, point, env):
        """Does what a stop at a point asks for."""
        if point.entry:
            for other in self.points.values():
                other.args, other.values, other.steps = None, {}, None
            for role in self.tasks:
                self.found(role, env["current"] if role == point.task else 0)
        elif point.task in self.conditions:
            self.found(point.task, env["current"])
        point.args = {arg: self.argument(point, arg) for arg in self.arguments(point)}
        point.values = self.values(point, env)
        point.roles = {role: register(name) for role, name in kernel["roles"].items()}
        for role, expression in point.finds.items():
            self.found(role, evaluate(expression, env))
        if point.task in self.tasks:
            self.pids[point.task] = env["current"].pid
        point.steps, point.left = {}, False
        if point.within:
            steps = self.points[point.within].steps
            steps[point.name] = steps.get(point.name, 0) + 1
        self.arm(point)

    def show(self, point, env):
        """Prints a stop."""
        symbol = where(env["pc"]) if point.returns else env["symbol"]
        shown = "".join(" %s=%#x" % (r, register(r)) for r in kernel["show"])
        print("point %s symbol %s%s" % (point.name, symbol, shown))
        if not gdb.convenience_variable("lab_auto"):
            print(textwrap.fill(point.means, 78, initial_indent="  ", subsequent_indent="  "))

    def values(self, point, env):
        """Returns what is read at a point, without what the guest's memory does not have."""
        values = {}
        for name, expression in point.reads.items():
            try:
                values[name] = evaluate(expression, env)
            except (NotYet, gdb.MemoryError):
                pass
        return values

    def arm(self, point):
        """Enables and disables breakpoints after a stop at a point."""
        steps = [p for p in self.points.values() if p.step]
        for other in self.points.values():
            always = not other.entry and not other.armed and not other.returns
            if other.returns == point.name:
                link = kernel["roles"].get("link")
                self.stop_at(other, register(link) if link else word(register(kernel["roles"]["sp"])))
            elif point.name in other.armed:
                other.enable(True)
            elif other.until == point.name:
                other.enable(False)
            elif point.entry and always:
                other.enable(True)
            elif point in steps[-1:] and always:
                other.enable(False)
        if (point.armed or point.returns) and not point.until:
            point.enable(False)

    def arguments(self, point):
        # At its return a function's arguments are no longer in their registers.
        return {} if point.returns else kernel["places"][point.place]["args"]

    def argument(self, point, name):
        arg = self.arguments(point)[name]
        size, value = arg["size"], register(arg["register"])
        if arg.get("offset") is not None:
            value = word(value + arg["offset"])
        value = int.from_bytes((value & (2**64 - 1)).to_bytes(8, "little")[:size], "little", signed=arg["signed"])
        return Value(value, arg["struct"])

    def environment(self, point):
        """Returns what an expression of a point may name, without what here adds."""
        env = {"__builtins__": {}}
        env.update(kernel["constants"])
        for name, other in self.points.items():
            env[name] = Names(other.stopped)
        env.update(self.tasks)
        env.update({
            "arg": Names(lambda name: self.argument(point, name)),
            "reg": Names(register),
            "read": Names(lambda name: evaluate(point.reads[name], self.here(point))),
            "symbol": kernel["places"][point.place]["symbol"],
            "bitand": lambda a, b: a & b, "bitor": lambda a, b: a | b, "bitxor": lambda a, b: a ^ b,
            "bitshl": lambda a, b: a << b, "bitshr": lambda a, b: a >> b,
            "bitushr": lambda a, b: (a & (2**64 - 1)) >> b,
            "u8": lambda a: word(a, 1), "u16": lambda a: word(a, 2), "u32": lambda a: word(a, 4), "u64": word,
            "str": text, "as_": Value,
        })
        return env

    def here(self, point):
        """Returns the environment of a point where the guest is stopped."""
        env = self.environment(point)
        env["current"] = env["task"] = Value(running(), "task_struct")
        env.update({role: register(name) for role, name in kernel["roles"].items()})
        return env

    def refuse(self, point):
        """Returns why gdb can not stop at a point, "" when it can."""
        if point.within and point.within not in self.points:
            return "it is a step of %s, which is left out" % point.within
        names = set(self.environment(point)) | {"current", "task"} | set(kernel["roles"])
        members = dict.fromkeys(self.points, ["arg", "read", *kernel["roles"]])
        members.update(dict.fromkeys(["current", "task", *self.tasks], ["address", *kernel["types"].get("task_struct", {})]))
        members.update({"arg": self.arguments(point), "read": point.reads})

        def wrong(part):
            try:
                tree = ast.parse(part, mode="eval")
            except SyntaxError:
                return "Python can not read it"
            for node in ast.walk(tree):
                if isinstance(node, ast.Name) and node.id not in names:
                    return node.id + " is not known"
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    base = node.value.id
                    if base in members and node.attr not in members[base]:
                        return "%s.%s is not known" % (base, node.attr)
            return ""

        for expression in [self.conditions.get(point.task, ""), point.when, *point.finds.values(), *point.reads.values()]:
            reasons = [wrong(part) for part in alternatives(expression)]
            if expression and all(reasons):
                return "%s: %s" % (expression, reasons[0])
        return ""
