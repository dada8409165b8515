import type { CommandDefinition } from "./command-definition.ts";

/** One line of the overview, and how to load the rest. A command's module is loaded when it is used. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly group: "Machines" | "Images" | "Snapshots" | "About supermachine";
  readonly load: () => Promise<CommandDefinition>;
  /** Commands of its own, such as `snapshots ls`; then it does nothing without one of them. */
  readonly commands?: readonly Omit<CommandEntry, "group" | "commands">[];
}

/** Every command, in the order of the overview. */
export const commandTable: readonly CommandEntry[] = [
  {
    name: "run",
    summary: "Run a command in a new machine made from an image",
    group: "Machines",
    load: async () => (await import("./commands/run.ts")).run,
  },
  {
    name: "exec",
    summary: "Run a command in a running machine",
    group: "Machines",
    load: async () => (await import("./commands/exec.ts")).exec,
  },
  {
    name: "ps",
    summary: "List machines",
    group: "Machines",
    load: async () => (await import("./commands/ps.ts")).ps,
  },
  {
    name: "logs",
    summary: "Print what a machine's main command has written",
    group: "Machines",
    load: async () => (await import("./commands/logs.ts")).logs,
  },
  {
    name: "stop",
    summary: "Stop machines in an orderly way",
    group: "Machines",
    load: async () => (await import("./commands/stop.ts")).stop,
  },
  {
    name: "kill",
    summary: "End machines at once",
    group: "Machines",
    load: async () => (await import("./commands/kill.ts")).kill,
  },
  {
    name: "rm",
    summary: "Remove machines that have ended",
    group: "Machines",
    load: async () => (await import("./commands/rm.ts")).rm,
  },
  {
    name: "cp",
    summary: "Copy files between this host and a machine",
    group: "Machines",
    load: async () => (await import("./commands/cp.ts")).cp,
  },
  {
    name: "stats",
    summary: "Show what machines take of this host",
    group: "Machines",
    load: async () => (await import("./commands/stats.ts")).stats,
  },
  {
    name: "update",
    summary: "Limit the memory of running machines",
    group: "Machines",
    load: async () => (await import("./commands/update.ts")).update,
  },
  {
    name: "snapshot",
    summary: "Keep a running machine as it is now",
    group: "Snapshots",
    load: async () => (await import("./commands/snapshot.ts")).snapshot,
  },
  {
    name: "restore",
    summary: "Go on from a snapshot in a new machine",
    group: "Snapshots",
    load: async () => (await import("./commands/restore.ts")).restore,
  },
  {
    name: "fork",
    summary: "Make copies of a running machine",
    group: "Snapshots",
    load: async () => (await import("./commands/fork.ts")).fork,
  },
  {
    name: "reset",
    summary: "Return machines to the state in which they were new",
    group: "Snapshots",
    load: async () => (await import("./commands/reset.ts")).reset,
  },
  {
    name: "snapshots",
    summary: "List, remove, export and import snapshots",
    group: "Snapshots",
    load: async () => (await import("./commands/snapshots/snapshots.ts")).snapshots,
    commands: [
      {
        name: "ls",
        summary: "List snapshots",
        load: async () => (await import("./commands/snapshots/ls.ts")).ls,
      },
      {
        name: "rm",
        summary: "Remove snapshots",
        load: async () => (await import("./commands/snapshots/rm.ts")).rm,
      },
      {
        name: "inspect",
        summary: "Show everything about a snapshot",
        load: async () => (await import("./commands/snapshots/inspect.ts")).inspect,
      },
      {
        name: "export",
        summary: "Write a snapshot to a file",
        load: async () => (await import("./commands/snapshots/export.ts")).exportSnapshot,
      },
      {
        name: "import",
        summary: "Take in a snapshot from a file",
        load: async () => (await import("./commands/snapshots/import.ts")).importSnapshot,
      },
      {
        name: "prune",
        summary: "Delete snapshots that no machine needs",
        load: async () => (await import("./commands/snapshots/prune.ts")).prune,
      },
    ],
  },
  {
    name: "pull",
    summary: "Bring an image into the local store, or up to date",
    group: "Images",
    load: async () => (await import("./commands/pull.ts")).pull,
  },
  {
    name: "images",
    summary: "List images",
    group: "Images",
    load: async () => (await import("./commands/images.ts")).images,
  },
  {
    name: "rmi",
    summary: "Remove images",
    group: "Images",
    load: async () => (await import("./commands/rmi.ts")).rmi,
  },
  {
    name: "import",
    summary: "Make an image from a tar archive of a root file system",
    group: "Images",
    load: async () => (await import("./commands/import.ts")).importImage,
  },
  {
    name: "inspect",
    summary: "Show everything about machines or images",
    group: "Machines",
    load: async () => (await import("./commands/inspect.ts")).inspect,
  },
  {
    name: "prune",
    summary: "Delete what no image and no machine needs",
    group: "Images",
    load: async () => (await import("./commands/prune.ts")).prune,
  },
  {
    name: "doctor",
    summary: "Say which engine will be used, what is missing and what to do about it",
    group: "About supermachine",
    load: async () => (await import("./commands/doctor.ts")).doctor,
  },
  {
    name: "version",
    summary: "Print the version",
    group: "About supermachine",
    load: async () => (await import("./commands/version.ts")).version,
  },
  {
    name: "completion",
    summary: "Print the completion script for a shell",
    group: "About supermachine",
    load: async () => (await import("./commands/completion.ts")).completion,
  },
];

/** What a command line names: a command, and one of its own commands where it has them. */
export interface NamedCommand {
  readonly entry: CommandEntry | undefined;
  readonly own: Pick<CommandEntry, "name" | "load"> | undefined;
  /** "snapshots ls", as far as it is known. */
  readonly name: string | undefined;
}

/** Finds it by the words that are no options. */
export function findCommand(words: readonly string[]): NamedCommand {
  const [first, second] = words.filter((word) => !word.startsWith("-"));
  const entry = commandTable.find(({ name }) => name === first);
  const own = entry?.commands?.find(({ name }) => name === second);
  const name = own === undefined ? entry?.name : `${entry?.name} ${own.name}`;
  return { entry, own, name };
}
