import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { createKnownRevocations } from '../../lib/revocation/known-revocations.ts'
import type { RevocationEntry } from '../../lib/stores/ports.ts'

const NOW = 1_800_000_000
const IDS = ['one', 'two']

/** What instances say of two sessions: few moments and ends, so that many fall together. */
const word: fc.Arbitrary<RevocationEntry> = fc
  .record({
    id: fc.constantFrom(...IDS),
    endsAt: fc.constantFrom(0, NOW - 5, NOW + 5, NOW + 50, NOW + 500),
    saidAt: fc.constantFrom(NOW - 3, NOW - 2, NOW - 1),
    until: fc.constantFrom(NOW + 600, NOW + 700),
  })
  .map((entry) => ({ kind: 'session', ...entry }))
const epoch: fc.Arbitrary<RevocationEntry> = fc
  .record({
    id: fc.constantFrom(...IDS),
    notAfter: fc.constantFrom(NOW - 9, NOW - 4, NOW),
    until: fc.constantFrom(NOW + 600, NOW + 700),
  })
  .map((entry) => ({ kind: 'idp-subject', ...entry }))
const words = fc.array(fc.oneof(word, word, word, epoch), { minLength: 1, maxLength: 8 })

function knowing(entries: readonly RevocationEntry[]) {
  const known = createKnownRevocations(() => NOW)
  entries.forEach(known.learn)
  return known
}

/** All that can be seen of what is known. */
function seen(entries: readonly RevocationEntry[]) {
  const known = knowing(entries)
  return [
    IDS.map((id) => known.sessionEnd(id)),
    IDS.map((id) => [-9, -5, -1, 0, 1].map((at) => known.coversIdpSubject(id, NOW + at))),
    known.notIn(knowing([])).sort((a, b) => `${a.kind}${a.id}`.localeCompare(`${b.kind}${b.id}`)),
  ]
}

const shuffled = words.chain((entries) =>
  fc.tuple(
    fc.constant(entries),
    // Any order, and some of them again.
    fc.shuffledSubarray([...entries, ...entries, ...entries], { minLength: entries.length * 3 }),
  ),
)

describe('what is said of sessions', () => {
  test('comes to the same in any order and any number of times', () => {
    fc.assert(
      fc.property(shuffled, ([entries, again]) => expect(seen(again)).toEqual(seen(entries))),
      { numRuns: 2000, seed: 4 },
    )
  })

  test('an end is for good, else the last word holds', () => {
    fc.assert(
      fc.property(words, (entries) => {
        const known = knowing(entries)
        for (const id of IDS) {
          const said = entries.filter((entry) => entry.kind === 'session' && entry.id === id)
          const last = Math.max(...said.map(({ saidAt }) => saidAt ?? 0))
          const ends = said.filter(({ saidAt }) => saidAt === last).map(({ endsAt }) => endsAt)
          const end = said.some(({ endsAt }) => endsAt === 0) ? [0] : ends
          if (said.length > 0) expect(end).toContain(known.sessionEnd(id))
          else expect(known.sessionEnd(id)).toBeUndefined()
        }
      }),
      { numRuns: 2000, seed: 4 },
    )
  })

  test('whoever is told what another knows and it does not comes to the same', () => {
    fc.assert(
      fc.property(words, words, (mine, others) => {
        const missing = knowing(mine).notIn(knowing(others))
        expect(seen([...others, ...missing])).toEqual(seen([...mine, ...others]))
      }),
      { numRuns: 2000, seed: 4 },
    )
  })

  test('it is forgotten at its end', () => {
    let now = NOW
    const known = createKnownRevocations(() => now)
    known.learn({ kind: 'session', id: 'one', endsAt: 0, saidAt: NOW, until: NOW + 10 })
    expect(known.sessionEnd('one')).toBe(0)
    now += 10
    expect(known.sessionEnd('one')).toBeUndefined()
  })
})
