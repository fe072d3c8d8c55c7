import fc from 'fast-check'
import type { RefreshPolicy } from '../../lib/stores/ports.ts'

/** Random lives of a few grants of one user: what `grant-walk.ts` plays on a store and on the ledger beside it. */

const halves = (min: number, max: number) =>
  fc.integer({ min: min * 2, max: max * 2 }).map((count) => count / 2)
const issuance = fc.constantFrom('keep', 'rotate', 'rotate-and-reset')
const lifetime = fc.oneof({ weight: 3, arbitrary: halves(60, 600) }, { weight: 1, arbitrary: halves(1, 60) })
const cap = fc.option(halves(2, 900), { nil: undefined, freq: 3 })

const policy: fc.Arbitrary<RefreshPolicy> = fc
  .record({ issuance, lifetime, absoluteLifetime: cap })
  .map(({ absoluteLifetime, ...rest }) =>
    absoluteLifetime === undefined ? rest : { ...rest, absoluteLifetime },
  )

const which = fc.nat(2)
/** How far back from the newest token: mostly it or its predecessor, sometimes older, sometimes one that the store lost. */
const behind = fc.oneof(
  { weight: 14, arbitrary: fc.constant(0) },
  { weight: 7, arbitrary: fc.constant(1) },
  { weight: 1, arbitrary: fc.integer({ min: -3, max: 3 }) },
)
const often = <T>(usual: T, ...others: T[]) =>
  fc.oneof(
    { weight: 12, arbitrary: fc.constant(usual) },
    { weight: others.length, arbitrary: fc.constantFrom(...others) },
  )

export const refreshFlaws = [
  'foreign',
  'lineage',
  'hash',
  'wide',
  'resource',
  'nothing',
  'another key',
  'no key',
  'bad proof',
] as const
export const redeemFlaws = [
  'foreign',
  'hash',
  'uri',
  'no uri',
  'wide',
  'resource',
  'nothing',
  'verifier',
] as const
const noFlaw = 'none' as const

const refresh = fc.record({
  kind: fc.constant('refresh' as const),
  which,
  behind,
  flaw: often<'none' | (typeof refreshFlaws)[number]>(noFlaw, ...refreshFlaws),
  grace: fc.constantFrom(10, 10, 0, 1, 60),
  secret: often(0, 1),
  /** Runs at once: the driver's second try beside the first, or another request of the client's. */
  atOnce: often<'one' | 'same nonce' | 'own nonces'>('one', 'same nonce', 'same nonce', 'own nonces'),
  narrow: fc.boolean(),
  switchTo: fc.option(policy, { nil: undefined, freq: 8 }),
})
const redeem = fc.record({
  kind: fc.constant('redeem' as const),
  which,
  flaw: fc.constantFrom(noFlaw, noFlaw, noFlaw, ...redeemFlaws),
  atOnce: often<'one' | 'same nonce' | 'own nonces'>('one', 'same nonce', 'own nonces'),
})
const step = fc.oneof(
  { weight: 24, arbitrary: refresh },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('run again' as const),
      which,
      back: fc.nat(3),
      what: often<'refresh' | 'redeem'>('refresh', 'redeem', 'redeem'),
    }),
  },
  { weight: 1, arbitrary: redeem },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('end' as const),
      which,
      reason: fc.constantFrom('revoked', 'reused', 'code_reused'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('read' as const), which }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('list' as const),
      by: fc.constantFrom('subject', 'clientId', 'idpSession'),
      limit: fc.constantFrom(1, 2, 100),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      by: fc.oneof(halves(0, 4), halves(0, 12), halves(0, 50)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('jump' as const), by: halves(-100, 100) }) },
)

export const scenario = fc.record({
  /** Clocks that only go forward: then lists must be whole, too. */
  isSteady: fc.boolean(),
  grants: fc.array(
    fc.record({
      policy,
      client: fc.nat(1),
      hasSession: fc.boolean(),
      isBound: fc.boolean(),
      /** Redeemed as soon as it is issued; else whenever a step does it. */
      opens: often(true, false),
      /** Redemptions before the right one. */
      before: fc.array(often<(typeof redeemFlaws)[number]>('foreign', ...redeemFlaws), { maxLength: 2 }),
      delay: often(0, 5, 59.5, 60),
      uriRequired: fc.boolean(),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  steps: fc.array(step, { minLength: 5, maxLength: 60 }),
})

export type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never
export type Step = Scenario['steps'][number]
