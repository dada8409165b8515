import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A control group of this machine for an agent to keep its commands in; whatever lives in it ends with it. */
export class TestCgroup implements AsyncDisposable {
  readonly path: string;

  constructor() {
    const root = mountPoint();
    if (root === undefined) throw new Error("no cgroup2 is mounted");
    this.path = mkdtempSync(join(root, "supermachine-test-"));
  }

  /** Why there can be none here; undefined when there can. */
  static whyNot(): string | undefined {
    const root = mountPoint();
    if (root === undefined) return "no cgroup2 is mounted on this machine";
    const probe = join(root, `supermachine-probe-${process.pid}`);
    try {
      mkdirSync(probe);
    } catch {
      return "the cgroup2 of this machine cannot be written";
    }
    const can = existsSync(join(probe, "cgroup.freeze")) && existsSync(join(probe, "cgroup.kill"));
    rmdirSync(probe);
    return can ? undefined : "the control groups of this kernel can neither freeze nor kill";
  }

  /** The names of the groups that the agent has made. */
  groups(): string[] {
    return groupsIn(join(this.path, "exec"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    writeFileSync(join(this.path, "cgroup.kill"), "1");
    for (let tries = 0; tries < 100; tries++) {
      try {
        removeTree(this.path);
        return;
      } catch {
        await sleep(20);
      }
    }
  }
}

function mountPoint(): string | undefined {
  if (!existsSync("/proc/self/mounts")) return undefined;
  const lines = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return lines.map((line) => line.split(" ")).find(([, , type]) => type === "cgroup2")?.[1];
}

function groupsIn(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

function removeTree(path: string): void {
  for (const name of groupsIn(path)) removeTree(join(path, name));
  rmdirSync(path);
}
