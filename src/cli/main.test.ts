import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { commandTable } from "./command-table.ts";
import { runFake } from "./testing/fake-host.ts";
import { fakeMachineInfo } from "./testing/fake-library.ts";

test("the overview names every command, and no arguments show it", async () => {
  for (const argv of [[], ["--help"], ["-h"]]) {
    const { exitCode, stdout } = await runFake(argv);
    assert.equal(exitCode, 0);
    for (const { name, summary } of commandTable)
      assert.match(stdout, new RegExp(`^ {2}${name} +${summary}$`, "m"));
  }
});

const commandNames = commandTable.flatMap(({ name, commands = [] }) => [
  name,
  ...commands.map((own) => `${name} ${own.name}`),
]);

for (const name of commandNames)
  test(`${name} --help has a description, an example and nothing on standard error`, async () => {
    const { exitCode, stdout, stderr } = await runFake([...name.split(" "), "--help"]);
    assert.equal(exitCode, 0);
    assert.match(stdout, new RegExp(`^Usage: supermachine ${name} `));
    assert.match(stdout, new RegExp(`^Examples:\n {2}# .+\n {2}\\$ supermachine ${name}`, "m"));
    assert.match(stdout, /--debug/);
    assert.equal(stderr, "");
    assert.equal((await runFake(["help", ...name.split(" ")])).stdout, stdout);
  });

test("a wrong command line ends with 125, one line and a hint", async () => {
  const cases: [string[], string, string][] = [
    [["rnu"], "Unknown command 'rnu'", "Did you mean run? Otherwise see 'supermachine --help'"],
    [
      ["run", "--nmae", "x", "alpine"],
      "Unknown option '--nmae'",
      "Did you mean --name? Otherwise see 'supermachine run --help'",
    ],
    [["run"], "Missing required argument 'image'", "See 'supermachine run --help'"],
    [
      ["snapshots", "lst"],
      "Unknown command 'lst'",
      "Did you mean ls? Otherwise see 'supermachine snapshots --help'",
    ],
    [["snapshots", "rm"], "Missing required argument 'snapshot'", "See 'supermachine snapshots rm --help'"],
    [
      ["fork", "-n", "0", "web"],
      "'0' is not a usable value for --number",
      "Give a whole number from 1 to 256",
    ],
    [["exec", "web"], "Missing required argument 'command'", "See 'supermachine exec --help'"],
    [
      ["ps", "x"],
      "Too many arguments for 'ps'; expected 0 arguments but got 1",
      "See 'supermachine ps --help'",
    ],
    [
      ["run", "--engine", "warp", "alpine"],
      "Option '--engine <name>' argument 'warp' is invalid; allowed choices are auto, qemu, vmm",
      "See 'supermachine run --help'",
    ],
    [
      ["run", "--cpus", "two", "alpine"],
      "'two' is not a usable value for --cpus",
      "Give a whole number from 1 to 1024",
    ],
    [["stop", "-t", "-1", "web"], "'-1' is not a usable value for --time", "Give a number from 0 to 86400"],
    [
      ["run", "-e", "=x", "alpine"],
      "The environment variable '=x' has no name",
      "Write --env NAME=value, or --env NAME to pass the value on from here",
    ],
    [
      ["run", "--env-file", "/nowhere/x", "alpine"],
      "Cannot read the environment file '/nowhere/x' (ENOENT)",
      "Check the path and its permissions",
    ],
    [
      ["run", "-it", "alpine"],
      "Standard input is not a terminal",
      "Leave out -t when input comes from a pipe or a file: '-i' alone passes it on",
    ],
    [
      ["cp", "a", "b"],
      "Neither side names a machine",
      "Write one side as MACHINE:PATH and the other as a path of this host",
    ],
    [
      ["cp", "web:/a", "web:/b"],
      "Cannot copy from machine to machine",
      "Write one side as MACHINE:PATH and the other as a path of this host",
    ],
  ];
  for (const [argv, message, hint] of cases) {
    const { exitCode, stdout, stderr } = await runFake(argv);
    assert.equal(stderr, `supermachine: ${message}\n  hint: ${hint}\n`);
    assert.deepEqual([exitCode, stdout], [125, ""], argv.join(" "));
  }
});

test("with --json an error is a JSON object on standard error, also one of the command line", async () => {
  for (const argv of [
    ["ps", "--json", "--nope"],
    ["pull", "--json"],
  ]) {
    const { stderr, stdout } = await runFake(argv);
    assert.equal(JSON.parse(stderr).error.code, "INVALID_ARGUMENT");
    assert.equal(stdout, "");
  }
});

test("run passes its options on as the library wants them", async () => {
  const { exitCode, calls } = await runFake(
    [
      ..."run -e A=1 -eB=2 -e HOME -e GONE -w /srv -u 1:2 -p 8080:80 -p [::1]:0:81 --name n --entrypoint /bin/x -h box".split(
        " ",
      ),
      ..."-m 1g --cpus 3 --network none -l a=b -l c --platform linux/arm64 --pull never --engine qemu --kernel /k --no-snapshot --reclaim-after never -q".split(
        " ",
      ),
      ..."alpine print hi --name 0".split(" "),
    ],
    { env: { HOME: "/root" } },
  );
  assert.equal(exitCode, 0);
  const [create, run] = calls;
  const { signal, onProgress, onWarning, ...options } = Object(create?.args[1]);
  assert.equal(create?.args[0], "alpine");
  assert.deepEqual(
    [typeof onProgress, typeof onWarning, signal instanceof AbortSignal],
    ["function", "function", true],
  );
  assert.deepEqual(options, {
    name: "n",
    memory: "1g",
    cpus: 3,
    env: { A: "1", B: "2", HOME: "/root" },
    workdir: "/srv",
    user: "1:2",
    hostname: "box",
    network: "none",
    ports: ["8080:80", "[::1]:0:81"],
    labels: { a: "b", c: "" },
    reclaimAfterMs: false,
    platform: "linux/arm64",
    pull: "never",
    engine: "qemu",
    kernel: "/k",
    snapshot: false,
    entrypoint: ["/bin/x"],
    remove: true,
  });
  assert.deepEqual(run?.args[0], ["print", "hi", "--name", "0"]);
});

test("run -d prints the id and leaves the machine alone", async () => {
  const { exitCode, stdout, calls } = await runFake(["run", "-dt", "--rm", "alpine", "sleep", "9"]);
  assert.deepEqual([exitCode, stdout], [0, "0123456789ab\n"]);
  const options = Object(calls[0]?.args[1]);
  assert.deepEqual(
    [options.detached, options.command, options.tty, options.remove],
    [true, ["sleep", "9"], true, true],
  );
  assert.ok(!calls.some(({ name }) => name === "kill"));
});

test("an empty --entrypoint drops that of the image", async () => {
  const { calls } = await runFake(["run", "--entrypoint", "", "alpine", "print"]);
  assert.deepEqual(Object(calls[0]?.args[1]).entrypoint, []);
});

test("run keeps the command's streams apart, passes its exit code on and ends the machine", async () => {
  const { exitCode, stdout, stderr, calls } = await runFake(["run", "alpine", "print", "out", "err", "7"]);
  assert.deepEqual([exitCode, stdout, stderr], [7, "out", "err"]);
  assert.deepEqual(
    calls.map(({ name }) => name),
    ["Machine.create", "run", "kill", "dispose"],
  );
});

test("run -i hands standard input over to its end; without -i the command gets none", async () => {
  const input = "x".repeat(300_000);
  assert.equal((await runFake(["run", "-i", "alpine", "cat"], { input })).stdout, input);
  assert.equal((await runFake(["run", "alpine", "cat"], { input })).stdout, "");
});

test("run and exec end with 127 for a missing command and 125 for a missing machine; others with 1", async () => {
  assert.equal((await runFake(["run", "alpine", "nope"])).exitCode, 127);
  assert.equal((await runFake(["exec", "web", "nope"])).exitCode, 127);
  assert.equal((await runFake(["exec", "gone", "print"])).exitCode, 125);
  assert.equal((await runFake(["logs", "gone"])).exitCode, 1);
});

test("an error that is not ours is called internal, with a stack only on demand", async () => {
  const { exitCode, stderr } = await runFake(["run", "alpine", "crash"]);
  assert.equal(exitCode, 125);
  assert.match(stderr, /^supermachine: Internal error: fake crash\n {2}hint: .*report/);
  assert.doesNotMatch(stderr, /\n\s+at /);
  assert.match((await runFake(["run", "--debug", "alpine", "crash"])).stderr, /\n\s+at /);
  assert.match(
    (await runFake(["run", "alpine", "crash"], { env: { SUPERMACHINE_DEBUG: "1" } })).stderr,
    /\n\s+at /,
  );
});

test("a signal while the machine starts aborts that, and says nothing", async () => {
  const signals = new EventEmitter();
  const state = {
    beforeCreate: ({ signal }: { signal?: AbortSignal | undefined }) => {
      setImmediate(() => signals.emit("SIGTERM"));
      return new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve()));
    },
  };
  const { exitCode, stdout, stderr } = await runFake(["run", "alpine", "print"], { signals, state });
  assert.deepEqual([exitCode, stdout, stderr], [143, "", ""]);
  assert.deepEqual(signals.eventNames(), []);
});

test("--timings names engine and phases on standard error", async () => {
  const { stdout, stderr } = await runFake(["run", "--timings", "alpine", "print", "x"]);
  assert.equal(stdout, "x");
  assert.match(stderr, /^engine: qemu \(tcg\)\ntimings:\n {2}engine +12 ms\n {2}total +[0-9.]+ m?s\n$/);
});

test("ps lists what runs; -a all, newest first; -q ids; --json an array", async () => {
  const ended = fakeMachineInfo({
    id: "ffffffffffff",
    name: "old",
    state: "stopped",
    ports: [],
    finishedAt: Date.now() - 7_200_000,
    exit: { reason: "command", exitCode: 3 },
  });
  const state = { machines: [ended, fakeMachineInfo()] };
  const { stdout } = await runFake(["ps", "-a"], { state });
  const lines = stdout.split("\n");
  assert.match(lines[0] ?? "", /^ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAME$/);
  assert.match(
    lines[1] ?? "",
    /^0123456789ab +nginx(:latest)? +"nginx -g daemon off;" +2 minutes ago +Up 2 minutes +127\.0\.0\.1:8080->80 +web$/,
  );
  assert.match(lines[2] ?? "", /Exited \(3\) 2 hours ago +old$/);
  assert.equal((await runFake(["ps", "-q"], { state })).stdout, "0123456789ab\n");
  assert.equal((await runFake(["ps", "-aq"], { state })).stdout, "0123456789ab\nffffffffffff\n");
  assert.equal(JSON.parse((await runFake(["ps", "-a", "--json"], { state })).stdout).length, 2);
});

test("images shows familiar names, short digests and sizes", async () => {
  const { stdout } = await runFake(["images"]);
  assert.match(stdout, /^alpine(:latest)? +abababababab +linux\/amd64 +3 days ago +3\.46 MB$/m);
  assert.equal(JSON.parse((await runFake(["images", "--json"])).stdout).length, 2);
});

test("stop, kill, rm and rmi do what they can and report the rest", async () => {
  const { exitCode, stdout, stderr, calls } = await runFake(["stop", "-t", "2.5", "web", "gone"]);
  assert.deepEqual([exitCode, stdout], [1, "web\n"]);
  assert.equal(stderr, "supermachine: There is no machine 'gone'\n  hint: See 'supermachine ps -a'\n");
  assert.deepEqual(calls.find(({ name }) => name === "stop")?.args, ["web", { timeoutMs: 2500 }]);
  assert.equal((await runFake(["kill", "web"])).stdout, "web\n");
  assert.deepEqual((await runFake(["kill", "-s", "hup", "web"])).calls[0], {
    name: "signal",
    args: ["web", "hup"],
  });
  assert.equal((await runFake(["kill", "-s", "9", "web"])).calls[0]?.name, "kill");
  assert.equal((await runFake(["kill", "-s", "NOPE", "web"])).exitCode, 125);
  const removal = await runFake(["rm", "-f", "web"]);
  assert.deepEqual(removal.calls[0]?.args, ["web", { force: true }]);
  const json = JSON.parse((await runFake(["stop", "--json", "web", "gone"])).stdout);
  assert.equal(json[0].exit.reason, "stopped");
  assert.equal(json[1].error.code, "MACHINE_NOT_FOUND");
});

test("inspect finds machines before images, and says what it did not find", async () => {
  const found = JSON.parse((await runFake(["inspect", "web", "alpine"])).stdout);
  assert.deepEqual(
    found.map(({ type }: { type: string }) => type),
    ["machine", "image"],
  );
  const missing = await runFake(["inspect", "nope"]);
  assert.deepEqual([missing.exitCode, missing.stdout], [1, "[]\n"]);
  assert.match(missing.stderr, /no machine and no image called 'nope'/);
});

test("cp copies in and out, and streams tar archives", async () => {
  const call = async (argv: string[], input?: string) =>
    (await runFake(argv, { input: input ?? "" })).calls[0];
  assert.deepEqual(await call(["cp", "./a", "web:etc/b"]), { name: "copyIn", args: ["./a", "/etc/b"] });
  assert.deepEqual(await call(["cp", "web:/b", "."]), { name: "copyOut", args: ["/b", "."] });
  assert.deepEqual(await call(["cp", "-", "web:/b"], "tar"), { name: "writeTar", args: ["/b", "tar"] });
  assert.equal((await runFake(["cp", "web:/b", "-"])).stdout, "tar bytes");
});

test("logs keeps streams apart, and knows --tail, --since and --timestamps", async () => {
  const entry = (stream: "stdout" | "stderr", time: number, text: string) => ({
    stream,
    time,
    bytes: Buffer.from(text),
  });
  const logs = [
    entry("stdout", 1000, "one\ntw"),
    entry("stderr", 2000, "bad\n"),
    entry("stdout", 3000, "o\nthree\n"),
  ];
  const state = { logs };
  const all = await runFake(["logs", "web"], { state });
  assert.deepEqual([all.stdout, all.stderr], ["one\ntwo\nthree\n", "bad\n"]);
  assert.equal((await runFake(["logs", "-n", "1", "web"], { state })).stdout, "three\n");
  assert.equal((await runFake(["logs", "--tail", "0", "web"], { state })).stdout, "");
  assert.equal((await runFake(["logs", "--since", "2.5", "web"], { state })).stdout, "o\nthree\n");
  assert.equal(
    (await runFake(["logs", "-t", "web"], { state })).stdout,
    "1970-01-01T00:00:01.000Z one\n1970-01-01T00:00:01.000Z two\n1970-01-01T00:00:03.000Z three\n",
  );
});

test("doctor explains each finding and ends with 1 when nothing can run", async () => {
  const checks = [
    { name: "node", status: "ok", detail: "20.19" } as const,
    {
      name: "qemu",
      status: "failed",
      detail: "not found",
      remedy: "apt-get install qemu-system-x86",
    } as const,
  ];
  const bad = await runFake(["doctor"], { state: { diagnosis: { ok: false, engines: [], checks } } });
  assert.equal(bad.exitCode, 1);
  assert.equal(
    bad.stdout,
    "ok        node   20.19\nfailed    qemu   not found\n                 -> apt-get install qemu-system-x86\n\n" +
      "Machines cannot be started here yet: see the lines marked 'failed'.\n",
  );
  const engine = { name: "qemu", accelerator: "kvm", why: "the first that is usable" } as const;
  const good = await runFake(["doctor"], {
    state: { diagnosis: { ok: true, engine, engines: [], checks: [] } },
  });
  assert.equal(good.exitCode, 0);
  assert.match(good.stdout, /engine 'qemu' with kvm: the first that is usable\.\n$/);
});

test("pull, import and prune print what they did, and JSON on demand", async () => {
  assert.match((await runFake(["pull", "alpine"])).stdout, /^alpine(:latest)? sha256:abab/);
  assert.equal(JSON.parse((await runFake(["pull", "--json", "alpine"])).stdout).platform, "linux/amd64");
  const imported = await runFake(["import", "x.tar", "my/base:1"]);
  assert.match(imported.stdout, /^my\/base:1 sha256:/);
  assert.equal(Object(imported.calls[0]?.args[0]).source, "x.tar");
  assert.equal((await runFake(["prune"])).stdout, "Freed 12.3 MB\n");
  const pruned = await runFake(["prune", "-a"]);
  assert.match(pruned.stdout, /^Removed snapshot cdcdcdcdcdcd$/m);
  assert.match(pruned.stdout, /^Freed 13.3 MB$/m);
  const json = await runFake(["prune", "-a", "--json"], {
    state: { machines: [fakeMachineInfo({ state: "crashed" })] },
  });
  assert.deepEqual(JSON.parse(json.stdout).machines, ["web"]);
});

test("snapshots without a command shows its help", async () => {
  const { exitCode, stdout, stderr } = await runFake(["snapshots"]);
  assert.deepEqual([exitCode, stderr], [0, ""]);
  assert.match(stdout, /^Usage: supermachine snapshots COMMAND \[options\]$/m);
  assert.match(stdout, /^ {2}export +Write a snapshot to a file$/m);
});

test("snapshot names what it makes, and prints the id", async () => {
  const { exitCode, stdout, calls } = await runFake(["snapshot", "--replace", "-l", "a=b", "web", "ready"]);
  assert.deepEqual([exitCode, stdout], [0, `${"ab".repeat(32)}\n`]);
  assert.deepEqual(calls[0], {
    name: "snapshot",
    args: ["web", "ready", { labels: { a: "b" }, replace: true }],
  });
  assert.equal(JSON.parse((await runFake(["snapshot", "--json", "web"])).stdout).memoryMiB, 256);
});

test("restore runs a command in a copy, as run does, and ends it", async () => {
  const argv =
    "restore -e A=1 -w /srv -p 8080:80 --name n --network none -l a=b -h box --reclaim-after 2.5 ready print out err 7";
  const { exitCode, stdout, stderr, calls } = await runFake(argv.split(" "));
  assert.deepEqual([exitCode, stdout, stderr], [7, "out", "err"]);
  assert.deepEqual(
    calls.map(({ name }) => name),
    ["Machine.create", "run", "kill", "dispose"],
  );
  const { signal: _, onProgress: _p, onWarning: _w, ...options } = Object(calls[0]?.args[0]);
  assert.deepEqual(options, {
    snapshot: "ready",
    name: "n",
    env: { A: "1" },
    workdir: "/srv",
    user: undefined,
    hostname: "box",
    network: "none",
    ports: ["8080:80"],
    labels: { a: "b" },
    reclaimAfterMs: 2500,
  });
});

test("restore -d leaves the copy alone; a command becomes its main command", async () => {
  const { exitCode, stdout, calls } = await runFake(["restore", "-d", "--rm", "ready", "sleep", "9"]);
  assert.deepEqual([exitCode, stdout], [0, "0123456789ab\n"]);
  const { detached, command, remove } = Object(calls[0]?.args[0]);
  assert.deepEqual([detached, command, remove], [true, ["sleep", "9"], true]);
  assert.ok(!calls.some(({ name }) => name === "kill"));
});

test("restore joins a main command that goes on, and ends with it", async () => {
  const entry = (stream: "stdout" | "stderr", text: string) => ({
    stream,
    time: 1,
    bytes: Buffer.from(text),
  });
  const state = {
    main: ["server"],
    logs: [entry("stdout", "ready\n"), entry("stderr", "oops\n")],
    exit: { reason: "command", exitCode: 3 } as const,
  };
  const { exitCode, stdout, stderr, calls } = await runFake(["restore", "ready"], { state });
  assert.deepEqual([exitCode, stdout, stderr], [3, "ready\n", "oops\n"]);
  assert.deepEqual(
    calls.map(({ name }) => name),
    ["Machine.create", "kill", "dispose"],
  );
  const beside = await runFake(["restore", "ready", "print", "x"], { state });
  assert.equal(beside.calls[1]?.name, "exec");
  const refused = await runFake(["restore", "-i", "ready"], { state });
  assert.equal(refused.exitCode, 125);
  assert.match(refused.stderr, /has the input that it had/);
  const panic = { ...state, exit: { reason: "panic", detail: "no init" } as const };
  const panicked = await runFake(["restore", "ready"], { state: panic });
  assert.equal(panicked.exitCode, 125);
  assert.match(panicked.stderr, /panicked/);
});

test("fork makes detached copies and prints their ids", async () => {
  const { exitCode, stdout, calls } = await runFake(["fork", "-n", "2", "--name", "w", "web"]);
  assert.deepEqual([exitCode, stdout], [0, "000000000000\n111111111111\n"]);
  assert.deepEqual(calls[0], { name: "fork", args: ["web", 2, { detached: true, names: ["w-1", "w-2"] }] });
  assert.deepEqual((await runFake(["fork", "--name", "w", "web"])).calls[0]?.args[2], {
    detached: true,
    names: ["w"],
  });
});

test("update limits the memory of each machine, and has to be told what to change", async () => {
  const { exitCode, calls } = await runFake(["update", "-m", "256m", "web"]);
  assert.equal(exitCode, 0);
  assert.deepEqual(calls[0], { name: "limitMemory", args: ["web", "256m"] });
  const nothing = await runFake(["update", "web"]);
  assert.equal(nothing.exitCode, 125);
  assert.match(nothing.stderr, /--memory/);
});

test("reset does what it can and reports the rest", async () => {
  const { exitCode, stdout, stderr, calls } = await runFake(["reset", "web", "gone"]);
  assert.deepEqual([exitCode, stdout], [1, "web\n"]);
  assert.match(stderr, /no machine 'gone'/);
  assert.equal(calls[0]?.name, "reset");
});

test("snapshots ls shows what is kept; -a templates as well; -q ids; --json an array", async () => {
  const { stdout } = await runFake(["snapshots", "ls"]);
  assert.match(stdout, /^ID +NAME +KIND +IMAGE +CPUS +MEMORY +CREATED +ON DISK +IN USE$/m);
  assert.match(
    stdout,
    /^abababababab +ready +snapshot +alpine(:latest)? +2 +256 MiB +3 minutes ago +23\.5 MB$/m,
  );
  assert.equal((await runFake(["snapshots", "ls", "-q"])).stdout, `${"ab".repeat(32)}\n`);
  assert.equal(JSON.parse((await runFake(["snapshots", "ls", "-a", "--json"])).stdout).length, 2);
});

test("snapshots rm, inspect, export, import and prune reach the store", async () => {
  const removal = await runFake(["snapshots", "rm", "ready", "gone"]);
  assert.deepEqual([removal.exitCode, removal.stdout], [1, "ready\n"]);
  assert.equal(
    removal.stderr,
    "supermachine: There is no snapshot 'gone'\n  hint: List them all with 'supermachine snapshots ls'\n",
  );
  assert.equal(JSON.parse((await runFake(["snapshots", "inspect", "ready"])).stdout).cpus, 2);
  const written = await runFake(["snapshots", "export", "--gzip", "ready", "x.snapshot"]);
  assert.deepEqual(written.calls[0]?.args, ["ready", "x.snapshot", { compress: true }]);
  const taken = await runFake(["snapshots", "import", "x.snapshot", "again"]);
  assert.deepEqual(taken.calls[0]?.args, ["x.snapshot", { name: "again" }]);
  assert.equal(taken.stdout, `${"ab".repeat(32)}\n`);
  const pruned = await runFake(["snapshots", "prune", "--templates"]);
  assert.equal(pruned.stdout, "Removed snapshot cdcdcdcdcdcd\nFreed 1.00 MB\n");
});

test("stats shows a table once where output is no terminal, and an array with --json", async () => {
  const { exitCode, stdout } = await runFake(["stats"]);
  assert.equal(exitCode, 0);
  assert.match(stdout, /^0123456789ab +web +1m01s +64\.0 MB +16\.0 MB +256 MiB +-$/m);
  assert.equal(JSON.parse((await runFake(["stats", "--json", "web"])).stdout)[0].name, "web");
  assert.equal((await runFake(["stats", "gone"])).exitCode, 1);
});

test("run --warmup starts from the state that a script has left, with what else was asked for", async () => {
  const argv = "run -d --name n -p 80:80 -e A=1 -m 1g --warmup make app serve";
  const { exitCode, stdout, calls } = await runFake(argv.split(" "));
  assert.deepEqual([exitCode, stdout], [0, "0123456789ab\n"]);
  assert.deepEqual(
    calls.map(({ name }) => name),
    ["Image.prepare", "shell", "Machine.create", "dispose"],
  );
  const prepared = Object(calls[0]?.args[1]);
  assert.deepEqual(
    [prepared.key, prepared.memory, prepared.env, prepared.name],
    ["make", "1g", { A: "1" }, undefined],
  );
  const created = Object(calls[2]?.args[0]);
  assert.deepEqual(
    [created.snapshot, created.name, created.ports, created.command, created.detached, created.memory],
    ["ab".repeat(32), "n", ["80:80"], ["serve"], true, undefined],
  );
});

test("a warm-up that fails is shown with what it printed", async () => {
  const { exitCode, stdout, stderr } = await runFake(["run", "--warmup", "exit 3", "app"]);
  assert.deepEqual([exitCode, stdout], [125, ""]);
  assert.equal(stderr, "supermachine: The warm-up 'exit 3' exited with 3\n  | exit 3\n  | oops\n");
  const refused = await runFake(["run", "--warmup", "make", "--no-snapshot", "app"]);
  assert.equal(refused.exitCode, 125);
});
