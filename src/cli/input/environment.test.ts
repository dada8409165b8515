import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEnvironmentFile, parseEnvironmentOption } from "./environment.ts";

const host = { HOME: "/root", EMPTY: "" };
const file = (text: string) => parseEnvironmentFile(new TextEncoder().encode(text), { path: "x.env", host });

test("parseEnvironmentOption() splits at the first equals sign", () => {
  assert.deepEqual(parseEnvironmentOption("A=b=c", host), ["A", "b=c"]);
  assert.deepEqual(parseEnvironmentOption("A=", host), ["A", ""]);
});

test("parseEnvironmentOption() takes a bare name's value from the calling environment, if it has one", () => {
  assert.deepEqual(parseEnvironmentOption("HOME", host), ["HOME", "/root"]);
  assert.deepEqual(parseEnvironmentOption("EMPTY", host), ["EMPTY", ""]);
  assert.equal(parseEnvironmentOption("MISSING", host), undefined);
});

test("parseEnvironmentOption() refuses an empty name", () => {
  assert.throws(() => parseEnvironmentOption("=x", host), { code: "INVALID_ARGUMENT" });
});

test("parseEnvironmentFile() follows docker's format", () => {
  const text =
    '\ufeff# comment\n\n  A=1 2 \nQUOTED="x"\r\nHOME\nMISSING\n  # indented comment\nB=#no comment';
  assert.deepEqual(file(text), [
    ["A", "1 2 "],
    ["QUOTED", '"x"'],
    ["HOME", "/root"],
    ["B", "#no comment"],
  ]);
});

test("parseEnvironmentFile() names file and line of what it refuses", () => {
  assert.throws(() => file("A=1\n=x"), { message: "No variable name on line 2 of 'x.env'" });
  assert.throws(() => file("A B=1"), {
    message: "The variable name 'A B' on line 1 of 'x.env' contains a space",
  });
  assert.throws(() => parseEnvironmentFile(Uint8Array.of(0x41, 0x3d, 0xff), { path: "x.env", host }), {
    message: "The environment file 'x.env' is not UTF-8 text",
  });
});
