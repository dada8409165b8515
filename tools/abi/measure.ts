import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AbiDescription, FieldDescription, MeasuredAbi, MeasuredField } from "./layout.ts";

/** Compiles a C program that prints every size, offset and value of the description, runs it, reads its output. */
export function measureAbi(description: AbiDescription): MeasuredAbi {
  const directory = mkdtempSync(join(tmpdir(), "generate-abi-"));
  try {
    const source = join(directory, "probe.c");
    const program = join(directory, "probe");
    writeFileSync(source, probeSource(description));
    execFileSync("cc", ["-w", "-o", program, source], { stdio: ["ignore", "inherit", "inherit"] });
    return parseMeasurements(execFileSync(program, { encoding: "utf8" }), description);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function probeSource({ headers, structs, constants }: AbiDescription): string {
  const lines = structs.flatMap(({ name, fields }) => [
    `  printf("%zu\\n", sizeof(struct ${name}));`,
    ...fields.map((field) => fieldProbe(name, field)),
  ]);
  const values = constants.map((name) => `  printf("%llu\\n", (unsigned long long)(${name}));`);
  return [
    "#include <stddef.h>",
    "#include <stdio.h>",
    "#include <linux/version.h>",
    ...headers.map((header) => `#include <${header}>`),
    "int main(void) {",
    '  printf("%d.%d.%d\\n", LINUX_VERSION_CODE >> 16, LINUX_VERSION_CODE >> 8 & 255, LINUX_VERSION_CODE & 255);',
    ...lines,
    ...values,
    "  return 0;",
    "}",
    "",
  ].join("\n");
}

function fieldProbe(struct: string, field: FieldDescription): string {
  const path = pathOf(field);
  const offset = `offsetof(struct ${struct}, ${path})`;
  // A flexible array member has an offset but no size.
  if (kindOf(field) === "offset") return `  printf("%zu 0 0\\n", ${offset});`;
  const type = `__typeof__(((struct ${struct} *)0)->${path})`;
  return `  printf("%zu %zu %d\\n", ${offset}, sizeof(${type}), (${type})-1 < (${type})1);`;
}

function parseMeasurements(text: string, { structs, constants }: AbiDescription): MeasuredAbi {
  const lines = text.trimEnd().split("\n").values();
  const next = (): string => {
    const { value, done } = lines.next();
    if (done) throw new Error("The probe printed too few lines");
    return value;
  };
  const headerVersion = next();
  const measured = structs.map(({ name, fields }) => ({
    name,
    size: Number(next()),
    fields: fields.map((field) => parseField(field, next())),
  }));
  return {
    headerVersion,
    structs: measured,
    constants: constants.map((name) => [name, BigInt(next())] as const),
  };
}

function parseField(field: FieldDescription, line: string): MeasuredField {
  const [offset = 0, size = 0, signed = 0] = line.split(" ").map(Number);
  return { path: pathOf(field), as: kindOf(field), offset, size, signed: signed === 1 };
}

function pathOf(field: FieldDescription): string {
  return typeof field === "string" ? field : field.path;
}

function kindOf(field: FieldDescription): MeasuredField["as"] {
  return typeof field === "string" ? "integer" : field.as;
}
