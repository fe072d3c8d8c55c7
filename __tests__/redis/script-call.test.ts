import { randomBytes } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { Command } from 'ioredis'
import { type Argument, ScriptCall } from '../../lib/stores/redis/script-call.ts'

const texts = ['', 'a', 'grüß 🌍', '\r\n$3\r\n', '\0', '\ud800', 'x'.repeat(70_000)]
const numbers = [0, -1, 1.5, 1e21, Number.MAX_SAFE_INTEGER]
const bytes = [0, 1, 56, 70_000].map((size) => randomBytes(size))

const asWritten = (command: Command) => Buffer.from(command.toWritable({}) as string)

test('a call is on the wire what the driver would make of it', () => {
  const all: Argument[] = [...texts, ...numbers, ...bytes]
  const cases: Argument[][] = [[], texts, numbers, bytes, all, all.toReversed(), ...all.map((one) => [one])]
  for (const args of cases) {
    const expected = asWritten(new Command('EVALSHA', args, { replyEncoding: null }))
    expect(asWritten(new ScriptCall('EVALSHA', args)).equals(expected)).toBe(true)
  }
})
