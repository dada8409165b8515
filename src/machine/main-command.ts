import type { Agent, AgentExec, ExecExit } from "../agent/requests.ts";
import { commandLine, type GuestDefaults } from "./guest-command.ts";
import { signalNumber } from "./guest-signals.ts";
import type { MachineLog } from "./machine-log.ts";
import type { MachineConfig } from "./types.ts";

/** The command that a machine lives for: started by the monitor, logged, and with its end the machine ends. */
export class MainCommand {
  readonly argv: readonly string[];
  /** Resolves when it has ended and everything it printed is in the log. Rejects when the agent is lost. */
  readonly ended: Promise<ExecExit>;
  readonly #exec: AgentExec;

  private constructor(exec: AgentExec, argv: readonly string[], log: MachineLog) {
    this.argv = argv;
    this.#exec = exec;
    const written = Promise.all([record(exec, "stdout", log), record(exec, "stderr", log)]);
    this.ended = Promise.all([exec.exit, written]).then(([exit]) => exit);
    this.ended.catch(() => {});
  }

  /** What a machine's options and image say is to be run; undefined for an idle machine. */
  static argvOf(config: MachineConfig, defaults: GuestDefaults): readonly string[] | undefined {
    return config.command === undefined ? undefined : commandLine(defaults, { argv: config.command });
  }

  /** @throws SupermachineError `COMMAND_NOT_FOUND` and the like. */
  static async start(
    agent: Agent,
    argv: readonly string[],
    options: { config: MachineConfig; defaults: GuestDefaults; log: MachineLog },
  ): Promise<MainCommand> {
    const { config, defaults } = options;
    const exec = agent.exec({
      argv,
      env: config.tty ? [...defaults.env, "TERM=xterm"] : defaults.env,
      cwd: defaults.workingDir,
      createCwd: true,
      user: defaults.user,
      // With a terminal, input stays open and silent: a shell waits there instead of ending at once.
      stdin: config.tty,
      ...(config.tty ? { tty: { columns: 80, rows: 24 } } : {}),
      // A copy of the machine takes it over.
      parked: true,
    });
    return await MainCommand.#follow(exec, argv, options.log);
  }

  /** Takes over the main command of the machine that this one is a copy of. */
  static async adopt(
    agent: Agent,
    { argv, pid }: { readonly argv: readonly string[]; readonly pid: number },
    log: MachineLog,
  ): Promise<MainCommand> {
    return await MainCommand.#follow(agent.adopt(pid), argv, log);
  }

  static async #follow(exec: AgentExec, argv: readonly string[], log: MachineLog): Promise<MainCommand> {
    const command = new MainCommand(exec, argv, log);
    exec.exit.catch(() => {});
    await exec.started;
    return command;
  }

  /** Its process in the guest. */
  get pid(): Promise<number> {
    return this.#exec.started;
  }

  /** Signals its process group. */
  signal(number: number): void {
    this.#exec.signal(number);
  }

  /** Sends the image's stop signal; an unknown one means SIGTERM. */
  askToStop(stopSignal: string): void {
    let number = 15;
    try {
      number = signalNumber(stopSignal);
    } catch {
      // The image's own mistake must not keep the machine from stopping.
    }
    this.#exec.signal(number);
  }
}

async function record(exec: AgentExec, stream: "stdout" | "stderr", log: MachineLog): Promise<void> {
  for await (const bytes of exec[stream]) await log.append({ stream, time: Date.now(), bytes });
}
