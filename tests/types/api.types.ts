// What the compiler must accept of a user's program, and what it must refuse. Compiled with the tests, never run.
import {
  type ErrorCode,
  type ExecResult,
  type Execution,
  Machine,
  type MachineOptions,
  SupermachineError,
} from "../../src/index.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function isTrue<Fact extends true>(): Fact | undefined {
  return undefined;
}

export async function typed(machine: Machine): Promise<void> {
  const text = machine.exec(["ls"]);
  isTrue<Same<typeof text, Execution<string>>>();
  const bytes = machine.exec(["ls"], { encoding: "buffer" });
  isTrue<Same<Awaited<typeof bytes>, ExecResult<Uint8Array>>>();
  const result = await machine.shell("exit 3");
  isTrue<Same<typeof result.exitCode, number | undefined>>();
  isTrue<Same<typeof result.stdout, string>>();

  // Options that are undefined mean their default, so that they can be passed on.
  const passedOn: MachineOptions = { memory: undefined, cpus: undefined, signal: undefined };
  await using another = await Machine.create("busybox", passedOn);
  isTrue<Same<typeof another, Machine>>();

  const code: ErrorCode = new SupermachineError("NO_SPACE", "Full").code;
  isTrue<Same<typeof code, ErrorCode>>();
}

export function refused(machine: Machine): void {
  // @ts-expect-error a command is a list of words, not a line
  machine.exec("ls -l");
  // @ts-expect-error there is no such option
  void Machine.create("busybox", { ram: "1g" });
  // @ts-expect-error there is no such network
  void Machine.create("busybox", { network: "bridge" });
  // @ts-expect-error a machine is made by create or connect, not of nothing
  new Machine();
  // @ts-expect-error codes are a closed set
  new SupermachineError("OOPS", "What?");
  // @ts-expect-error what is known about a machine does not change under one's hands
  machine.timings.push({ phase: "agent", ms: 1 });
  // @ts-expect-error a port of the guest has to be named
  void machine.forward({ port: 80 });
}
