/**
 * The limit store's Lua scripts as functions of this process: the very text of the files, translated to JavaScript. Lua
 * 5.1 and JavaScript have the same numbers (doubles) and strings that cannot change, so what is left is small. It speaks
 * the part of the language that the scripts use, and throws at anything else rather than guess. That it says the same as
 * a real server is tested by `redis-server.test.ts`.
 *
 * Why not an interpreter: Lua 5.3 and 5.4 (fengari, wasmoon) have other numbers, and took 200 µs for an act; a real
 * server takes as long with its socket, and cannot be stopped between two acts. This takes about 10 µs.
 */
import luaparse from "luaparse"

export type LuaValue = undefined | boolean | number | string | LuaTable | LuaFunction
export type LuaFunction = (...args: LuaValue[]) => LuaValue[]

export class LuaTable {
  /** Keys 1, 2, 3 … */
  readonly list: LuaValue[] = []
  readonly map = new Map<LuaValue, LuaValue>()

  static of(values: readonly LuaValue[]): LuaTable {
    const table = new LuaTable()
    for (const value of values) table.list.push(value)
    return table
  }

  get(key: LuaValue): LuaValue {
    if (typeof key === "number" && key >= 1 && key <= this.list.length) return this.list[key - 1]
    return this.map.get(key)
  }

  set(key: LuaValue, value: LuaValue): void {
    if (typeof key === "number" && key >= 1 && key <= this.list.length + 1) {
      if (value === undefined) throw new Error("an element of a list was removed")
      this.list[key - 1] = value
    } else if (value === undefined) this.map.delete(key)
    else this.map.set(key, value)
  }
}

/** What `error` or a failing `redis.call` throws. */
export class LuaError extends Error {
  readonly value: LuaValue
  constructor(value: LuaValue) {
    super(value instanceof LuaTable ? String(value.get("err")) : String(value))
    this.value = value
  }
}

export type LuaScript = (keys: LuaTable, args: LuaTable, redis: LuaTable) => LuaValue[]

/** @throws Error where the text uses what is not spoken here */
export function translateLua(text: string): LuaScript {
  const chunk = luaparse.parse(text, { luaVersion: "5.1", encodingMode: "pseudo-latin1" })
  const body = new Translation().block(chunk.body as Node[], new Map())
  const names = Object.keys(RUNTIME)
  const make = new Function(...names, "KEYS", "ARGV", "redis", `"use strict"; let $;\n${body}\nreturn []`)
  const values = Object.values(RUNTIME)
  return (keys, args, redis) => make(...values, keys, args, redis) as LuaValue[]
}

/** A node of luaparse's tree; its own types do not tell which members stand together. */
type Node = { readonly type: string; readonly [member: string]: unknown }
/** Lua name -> JavaScript name: Lua may declare a name twice in one block. */
type Scope = ReadonlyMap<string, string>

const GLOBALS = new Set(["KEYS", "ARGV", "redis", "string", "table", "math", "ipairs", "pairs", "pcall", "error"])
for (const name of ["tonumber", "tostring", "type", "unpack"]) GLOBALS.add(name)
const COMPARED: Readonly<Record<string, string>> = { "==": "===", "~=": "!==" }
const COMPUTED: Readonly<Record<string, string>> = { "+": "+", "-": "-", "*": "*", "/": "/" }
const ORDERED = new Set(["<", "<=", ">", ">="])

class Translation {
  #serial = 0

  block(statements: readonly Node[], outer: Scope): string {
    const scope = new Map(outer)
    return statements.map((statement) => this.#statement(statement, scope)).join("\n")
  }

  #declare(scope: Map<string, string>, node: unknown): string {
    const { name } = node as Node & { readonly name: string }
    this.#serial += 1
    const own = `${name}_${this.#serial}`
    scope.set(name, own)
    return own
  }

  #statement(node: Node, scope: Map<string, string>): string {
    const nodes = (member: string) => node[member] as Node[]
    const one = (member: string) => node[member] as Node
    switch (node.type) {
      case "LocalStatement": {
        const values = this.#list(nodes("init"), scope)
        return `let [${nodes("variables").map((variable) => this.#declare(scope, variable))}] = ${values}`
      }
      case "AssignmentStatement":
        return this.#assignment(nodes("variables"), nodes("init"), scope)
      case "CallStatement":
        return `${this.#call(one("expression"), scope)}`
      case "ReturnStatement":
        return `return ${this.#list(nodes("arguments"), scope)}`
      case "IfStatement":
        return nodes("clauses")
          .map((clause, at) => {
            const body = `{\n${this.block(clause.body as Node[], scope)}\n}`
            if (clause.type === "ElseClause") return `else ${body}`
            return `${at === 0 ? "" : "else "}if ($is(${this.#value(clause.condition as Node, scope)})) ${body}`
          })
          .join(" ")
      case "WhileStatement":
        return `while ($is(${this.#value(one("condition"), scope)})) {\n${this.block(nodes("body"), scope)}\n}`
      case "BreakStatement":
        return "break"
      case "ForNumericStatement": {
        const [from, to] = [this.#value(one("start"), scope), this.#value(one("end"), scope)]
        const step = node.step === null ? "1" : this.#value(one("step"), scope)
        const inner = new Map(scope)
        const variable = this.#declare(inner, one("variable"))
        const head = `for (let ${variable} = $number(${from}), $end = $number(${to}); ${variable} <= $end; ${variable} += ${step})`
        return `${head} {\n${this.block(nodes("body"), inner)}\n}`
      }
      case "ForGenericStatement": {
        const each = this.#value((nodes("iterators") as [Node])[0], scope)
        const inner = new Map(scope)
        const variables = nodes("variables").map((variable) => this.#declare(inner, variable))
        return `for (const [${variables}] of ${each}) {\n${this.block(nodes("body"), inner)}\n}`
      }
      case "FunctionDeclaration": {
        if (node.isLocal !== true) throw new Error("a function is not local")
        const name = this.#declare(scope, node.identifier)
        return `let ${name}; ${name} = ${this.#function(node, scope)}`
      }
    }
    throw new Error(`${node.type} is not spoken here`)
  }

  #function(node: Node, scope: Scope): string {
    const inner = new Map(scope)
    const parameters = (node.parameters as Node[]).map((parameter) => this.#declare(inner, parameter))
    return `(${parameters}) => { let $;\n${this.block(node.body as Node[], inner)}\nreturn [] }`
  }

  #assignment(targets: readonly Node[], values: readonly Node[], scope: Scope): string {
    const [target] = targets
    if (targets.length === 1 && target !== undefined && values.length === 1) {
      return this.#put(target, this.#value(values[0] as Node, scope), scope)
    }
    const puts = targets.map((one, at) => this.#put(one, `$all[${at}]`, scope))
    return `{ const $all = ${this.#list(values, scope)}; ${puts.join("; ")} }`
  }

  #put(target: Node, value: string, scope: Scope): string {
    if (target.type === "Identifier") {
      const name = scope.get(target.name as string)
      if (name === undefined) throw new Error(`${target.name} is written, and is not local`)
      return `${name} = ${value}`
    }
    const [base, key] = this.#place(target, scope)
    return `${base}.set(${key}, ${value})`
  }

  #place(node: Node, scope: Scope): [base: string, key: string] {
    const base = this.#value(node.base as Node, scope)
    if (node.type === "MemberExpression" && node.indexer === ".") {
      return [base, JSON.stringify((node.identifier as Node).name)]
    }
    if (node.type === "IndexExpression") return [base, this.#value(node.index as Node, scope)]
    throw new Error(`${node.type} is not spoken here`)
  }

  /** An array of values; a call at the end gives all that it returns. */
  #list(nodes: readonly Node[], scope: Scope): string {
    const values = nodes.map((node, at) => {
      const isCall = node.type === "CallExpression" && at === nodes.length - 1
      return isCall ? `...${this.#call(node, scope)}` : this.#value(node, scope)
    })
    return values.length === 1 && values[0]?.startsWith("...") ? values[0].slice(3) : `[${values}]`
  }

  #call(node: Node, scope: Scope): string {
    if (node.type !== "CallExpression") throw new Error(`${node.type} is not spoken here`)
    const args = this.#list(node.arguments as Node[], scope)
    const callee = this.#value(node.base as Node, scope)
    return args.startsWith("[") ? `${callee}(${args.slice(1, -1)})` : `${callee}(...${args})`
  }

  #value(node: Node, scope: Scope): string {
    const left = () => this.#value(node.left as Node, scope)
    const right = () => this.#value(node.right as Node, scope)
    switch (node.type) {
      case "Identifier": {
        const name = node.name as string
        const own = scope.get(name) ?? (GLOBALS.has(name) ? name : undefined)
        if (own === undefined) throw new Error(`${name} is not known`)
        return own
      }
      case "StringLiteral":
      case "NumericLiteral":
      case "BooleanLiteral":
        return JSON.stringify(node.value)
      case "NilLiteral":
        return "undefined"
      case "LogicalExpression":
        return node.operator === "and"
          ? `($is($ = ${left()}) ? ${right()} : $)`
          : `($is($ = ${left()}) ? $ : ${right()})`
      case "UnaryExpression":
        return this.#unary(node, scope)
      case "BinaryExpression":
        return this.#binary(node.operator as string, left(), right())
      case "CallExpression":
        return `${this.#call(node, scope)}[0]`
      case "MemberExpression":
      case "IndexExpression": {
        const [base, key] = this.#place(node, scope)
        return `${base}.get(${key})`
      }
      case "TableConstructorExpression":
        return this.#table(node.fields as Node[], scope)
      case "FunctionDeclaration":
        return this.#function(node, scope)
    }
    throw new Error(`${node.type} is not spoken here`)
  }

  #unary(node: Node, scope: Scope): string {
    const argument = this.#value(node.argument as Node, scope)
    if (node.operator === "not") return `!$is(${argument})`
    if (node.operator === "-") return `-$number(${argument})`
    return `$length(${argument})`
  }

  #binary(operator: string, left: string, right: string): string {
    if (COMPARED[operator] !== undefined) return `(${left} ${COMPARED[operator]} ${right})`
    if (ORDERED.has(operator)) return `$ordered(${left}, ${JSON.stringify(operator)}, ${right})`
    if (COMPUTED[operator] !== undefined) return `($number(${left}) ${COMPUTED[operator]} $number(${right}))`
    if (operator === "..") return `($text(${left}) + $text(${right}))`
    throw new Error(`${operator} is not spoken here`)
  }

  #table(fields: readonly Node[], scope: Scope): string {
    const list = fields.filter(({ type }) => type === "TableValue").map(({ value }) => value as Node)
    const rest = fields.filter(({ type }) => type !== "TableValue")
    const pairs = rest.map(({ type, key, value }) => {
      if (type !== "TableKeyString") throw new Error(`${type} is not spoken here`)
      return `[${JSON.stringify((key as Node).name)}, ${this.#value(value as Node, scope)}]`
    })
    return `$table(${this.#list(list, scope)}, [${pairs}])`
  }
}

function toNumber(value: LuaValue): number | undefined {
  if (typeof value === "number") return value
  return typeof value === "string" && /^\s*-?\d+(\.\d+)?\s*$/.test(value) ? Number(value) : undefined
}

function $number(value: LuaValue): number {
  const number = toNumber(value)
  if (number === undefined) throw new LuaError(`attempt to perform arithmetic on a ${typeof value} value`)
  return number
}

/** Beyond 10^15 Lua writes an exponent, which no key and no amount may ever be. */
function $text(value: LuaValue): string {
  if (typeof value === "string") return value
  if (typeof value === "number" && Number.isInteger(value) && Math.abs(value) < 1e15) return String(value)
  throw new LuaError(`attempt to concatenate ${String(value)}`)
}

function $ordered(left: LuaValue, operator: string, right: LuaValue): boolean {
  const isSame = typeof left === typeof right && (typeof left === "number" || typeof left === "string")
  if (!isSame) throw new LuaError(`attempt to compare ${typeof left} with ${typeof right}`)
  const [a, b] = [left as number, right as number]
  return operator === "<" ? a < b : operator === "<=" ? a <= b : operator === ">" ? a > b : a >= b
}

function $length(value: LuaValue): number {
  if (typeof value === "string") return value.length
  if (value instanceof LuaTable) return value.list.length
  throw new LuaError("attempt to get length of what has none")
}

function $table(list: readonly LuaValue[], pairs: readonly [string, LuaValue][]): LuaTable {
  const table = LuaTable.of(list)
  for (const [key, value] of pairs) table.set(key, value)
  return table
}

function lua(functions: Readonly<Record<string, LuaFunction>>): LuaTable {
  const table = new LuaTable()
  for (const [name, value] of Object.entries(functions)) table.set(name, value)
  return table
}

type Pattern = { readonly expression: RegExp; readonly captures: readonly ("text" | "end")[] }
const patterns = new Map<string, Pattern>()
const CLASSES: Readonly<Record<string, string>> = { d: "0-9", a: "A-Za-z", w: "0-9A-Za-z", x: "0-9a-fA-F", s: "\\s" }

/** A Lua pattern as a regular expression; a capture of the position may stand at the end alone. */
function patternOf(source: string): Pattern {
  let known = patterns.get(source)
  if (known !== undefined) return known
  const isAnchored = source.startsWith("^")
  const captures: ("text" | "end")[] = []
  let text = ""
  let isInSet = false
  for (let at = isAnchored ? 1 : 0; at < source.length; at += 1) {
    const sign = source[at] ?? ""
    if (sign === "%") {
      at += 1
      const letter = source[at] ?? ""
      const set = CLASSES[letter]
      text += set === undefined ? `\\${letter}` : isInSet ? set : `[${set}]`
    } else if (sign === "(" && source[at + 1] === ")") {
      if (at + 2 !== source.length) throw new Error(`${source}: a position is captured in the middle`)
      captures.push("end")
      at += 1
    } else {
      if (sign === "[") isInSet = true
      if (sign === "]") isInSet = false
      if (sign === "(") captures.push("text")
      if (sign === "-" && !isInSet) throw new Error(`${source}: "-" is not spoken here`)
      text += sign === "$" && at + 1 < source.length ? "\\$" : /[{}|\\/]/.test(sign) ? `\\${sign}` : sign
    }
  }
  known = { expression: new RegExp(text, isAnchored ? "y" : "g"), captures }
  patterns.set(source, known)
  return known
}

function find(
  text: LuaValue,
  source: LuaValue,
  init: LuaValue,
): { match: RegExpExecArray; captures: LuaValue[] } | null {
  const { expression, captures } = patternOf(source as string)
  expression.lastIndex = typeof init === "number" ? init - 1 : 0
  const match = expression.exec(text as string)
  if (match === null) return null
  const end = match.index + match[0].length + 1
  return { match, captures: captures.map((kind, at) => (kind === "end" ? end : (match[at + 1] ?? ""))) }
}

function format(template: LuaValue, ...values: LuaValue[]): LuaValue[] {
  let at = 0
  const text = (template as string).replace(/%(0?)(\d*)\.0f/g, (_, zero: string, width: string) => {
    const value = $number(values[at])
    at += 1
    // Every digit, as C writes it; `toFixed` writes an exponent from 10^21 on.
    const digits = Object.is(value, -0) ? "-0" : Number.isInteger(value) ? String(BigInt(value)) : value.toFixed(0)
    return zero === "0" ? digits.padStart(Number(width), "0") : digits
  })
  if (/%/.test(text)) throw new Error(`${String(template)} is not spoken here`)
  return [text]
}

function slice(text: LuaValue, from: LuaValue, to: LuaValue = -1): LuaValue[] {
  const { length } = text as string
  const [first, last] = [from as number, to as number]
  const start = first < 0 ? Math.max(0, length + first) : Math.max(0, first - 1)
  return [(text as string).slice(start, last < 0 ? length + last + 1 : last)]
}

const string = lua({
  find: (text, source, init) => {
    const found = find(text, source, init)
    if (found === null) return [undefined]
    return [found.match.index + 1, found.match.index + found.match[0].length, ...found.captures]
  },
  match: (text, source, init) => {
    const found = find(text, source, init)
    return found === null ? [undefined] : found.captures.length > 0 ? found.captures : [found.match[0]]
  },
  gmatch: (text, source) => {
    const all = [...(text as string).matchAll(patternOf(source as string).expression)].map(([whole]) => [whole])
    return [all as unknown as LuaValue]
  },
  sub: slice,
  format,
})

const RUNTIME = {
  $is: (value: LuaValue) => value !== undefined && value !== false,
  $number,
  $text,
  $ordered,
  $length,
  $table,
  string,
  table: lua({
    concat: (list, between = "") => [(list as LuaTable).list.map($text).join(between as string)],
  }),
  math: lua({
    floor: (value) => [Math.floor($number(value))],
    max: (...values) => [Math.max(...values.map($number))],
  }),
  ipairs: (table: LuaValue) => [(table as LuaTable).list.map((value, at) => [at + 1, value])],
  pairs: (table: LuaValue) => [[...(table as LuaTable).map]],
  unpack: (table: LuaValue) => [...(table as LuaTable).list],
  tonumber: (value: LuaValue) => [toNumber(value)],
  tostring: (value: LuaValue) => [typeof value === "number" ? $text(value) : String(value)],
  type: (value: LuaValue) => [value instanceof LuaTable ? "table" : value === undefined ? "nil" : typeof value],
  error: (value: LuaValue) => {
    throw new LuaError(value)
  },
  pcall: (act: LuaFunction, ...args: LuaValue[]) => {
    try {
      return [true, ...act(...args)]
    } catch (error) {
      if (!(error instanceof LuaError)) throw error
      return [false, error.value]
    }
  },
}
