import type { CommandDefinition } from "./command-definition.ts";

/** One line of the overview, and how to load the rest. A command's module is loaded when it is used. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly group: "Machines" | "Images" | "About supermachine";
  readonly load: () => Promise<CommandDefinition>;
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
