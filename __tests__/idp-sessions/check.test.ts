import { describe, expect, test } from '@jest/globals'
import type { AatOptions } from '../../lib/index.ts'
import { expectRefused, withWorld } from '../refresh-tokens/instances.ts'
import type { TokenAnswer, World } from '../support/world.ts'
import { bound, clients, IDP, publicTokens, sessionOf, signedIn } from './sessions.ts'

type Sessions = NonNullable<AatOptions['idpSessions']>
type Check = NonNullable<Sessions['checkIdpSession']>
type Question = { session: Parameters<Check>[0]; context: Parameters<Check>[1] }

/** An app that is asked: each question is kept, and answered as `answer` says by then. */
function asking(answer: (question: Question) => unknown, more: Sessions = {}) {
  const asked = {
    questions: [] as Question[],
    answer,
    options: {
      ...more,
      checkIdpSession: ((session, context) => {
        const question = { session, context }
        asked.questions.push(question)
        return asked.answer(question)
      }) as Check,
    } satisfies Sessions,
  }
  return asked
}

const withChecks = (
  asked: ReturnType<typeof asking>,
  run: (world: World) => Promise<void>,
  more: Partial<AatOptions> = {},
) => withWorld(bound({}, { idpSessions: asked.options, ...more }), run)

async function tokensIn(world: World, sid = 'one') {
  signedIn(world, sessionOf(world, sid, 400, 'idp-alice'))
  return (await world.signInAndGetTokens({ scope: 'a' })).body
}

function expectUnavailable(answer: TokenAnswer): void {
  expect({ status: answer.status, error: answer.body?.error }).toEqual({
    status: 503,
    error: 'temporarily_unavailable',
  })
  expect(answer.headers.get('retry-after')).toBe('1')
}

describe('checkIdpSession', () => {
  test('true: the refresh goes on; asked with the session and who it is about, before refreshes only', () => {
    const asked = asking(() => true)
    return withChecks(asked, async (world) => {
      const tokens = await tokensIn(world)
      expect(asked.questions).toEqual([])
      expect((await world.refresh(tokens.refresh_token)).status).toBe(200)
      expect(asked.questions).toMatchObject([
        {
          session: { issuer: IDP, sid: 'one', subject: 'idp-alice', expiresAt: world.clock.now + 400 },
          context: { clientId: 'confidential', subject: 'alice' },
        },
      ])
      expect(asked.questions[0]?.context.signal.aborted).toBe(false)
    })
  })

  test('asked with the end that was said since', () => {
    const asked = asking(async () => true)
    return withChecks(asked, async (world) => {
      const tokens = await tokensIn(world)
      await world.aat.idpSessions.update({ issuer: IDP, sid: 'one', expiresAt: world.clock.now + 60 })
      await world.refresh(tokens.refresh_token)
      expect(asked.questions[0]?.session.expiresAt).toBe(world.clock.now + 60)
    })
  })

  test('false: the session has ended for all of its families and access tokens, and nobody is asked again', () => {
    const asked = asking(() => false)
    return withChecks(asked, async (world) => {
      const [one, two] = [await tokensIn(world), await tokensIn(world)]
      const other = await tokensIn(world, 'another')
      expectRefused(await world.refresh(one.refresh_token), 'invalid_grant')
      expect(world.eventsNamed('idp_session.ended')).toMatchObject([{ issuer: IDP, by: 'checkIdpSession' }])
      for (const { access_token: accessToken } of [one, two])
        expect((await world.call('/api/a', accessToken)).status).toBe(401)
      expect((await world.call('/api/a', other.access_token)).status).toBe(200)
      asked.answer = () => true
      for (const { refresh_token: token } of [one, two])
        expectRefused(await world.refresh(token), 'invalid_grant')
      expect((await world.refresh(other.refresh_token)).status).toBe(200)
      expect(asked.questions.map(({ session }) => session.sid)).toEqual(['one', 'another'])
    })
  })

  const unanswered: [string, (question: Question) => unknown][] = [
    [
      'throws',
      () => {
        throw new Error('no network')
      },
    ],
    ['rejects', async () => Promise.reject(new Error('no network'))],
    ['rejects with nothing', () => Promise.reject()],
    ['hangs', () => new Promise(() => undefined)],
    ['says undefined', () => undefined],
    ['says 1', async () => 1],
    ['says "false"', () => 'false'],
    ['says null', async () => null],
  ]
  test.each(unanswered)(
    '%s: 503 with Retry-After, nothing is consumed, and an event says so',
    (_, answer) => {
      const asked = asking(answer, { checkTimeout: 30 })
      return withChecks(asked, async (world) => {
        const tokens = await tokensIn(world)
        expectUnavailable(await world.refresh(tokens.refresh_token))
        expect(world.eventsNamed('idp_session.unanswered')).toMatchObject([
          { clientId: 'confidential', subject: 'alice', went: 'unavailable' },
        ])
        expect(world.eventsNamed('token.refreshed')).toEqual([])
        expect((await world.call('/api/a', tokens.access_token)).status).toBe(200)
        asked.answer = () => true
        world.clock.advance(60)
        // Beyond the grace: had it been consumed, this was reuse.
        expect((await world.refresh(tokens.refresh_token)).body.refresh_token_expires_in).toBe(340)
      })
    },
  )

  test.each(unanswered)('%s, and the rule is to go on: by what is known of the end', (_, answer) => {
    const asked = asking(answer, { checkTimeout: 30, whenUnanswered: 'go-on' })
    return withChecks(asked, async (world) => {
      const tokens = await tokensIn(world)
      const { status, body } = await world.refresh(tokens.refresh_token)
      expect({ status, lives: body.refresh_token_expires_in }).toEqual({ status: 200, lives: 400 })
      expect(world.eventsNamed('idp_session.unanswered')).toMatchObject([{ went: 'on' }])
      world.clock.advance(400)
      expectRefused(await world.refresh(body.refresh_token), 'invalid_grant')
    })
  })

  test('one that hangs is told when its time is up, and why; an answer after that is nothing', () => {
    let late: (lives: boolean) => void = () => undefined
    const asked = asking(() => new Promise<boolean>((resolve) => (late = resolve)), { checkTimeout: 30 })
    return withChecks(asked, async (world) => {
      const tokens = await tokensIn(world)
      expectUnavailable(await world.refresh(tokens.refresh_token))
      const signal = asked.questions[0]?.context.signal
      expect(signal?.aborted).toBe(true)
      expect(String(signal?.reason)).toContain('30 ms')
      late(false)
      asked.answer = () => true
      expect((await world.refresh(tokens.refresh_token)).status).toBe(200)
      expect(world.eventsNamed('idp_session.ended')).toEqual([])
    })
  })

  test('one that rejects when it is aborted leaves nothing unhandled', () => {
    const asked = asking(
      ({ context: { signal } }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      { checkTimeout: 20 },
    )
    return withChecks(asked, async (world) => {
      const tokens = await tokensIn(world)
      expectUnavailable(await world.refresh(tokens.refresh_token))
      expect(world.eventsNamed('idp_session.unanswered')).toHaveLength(1)
    })
  })

  test('refreshes at once, of one token or of several families, share a question for each session', () => {
    const waiting: ((lives: boolean) => void)[] = []
    const asked = asking(() => new Promise<boolean>((resolve) => waiting.push(resolve)))
    return withChecks(asked, async (world) => {
      const families = [await tokensIn(world), await tokensIn(world), await tokensIn(world, 'two')]
      const asking = families.flatMap(({ refresh_token: token }) => [
        world.refresh(token),
        world.refresh(token),
      ])
      while (waiting.length < 2) await new Promise((resolve) => setImmediate(resolve))
      // All six are in: none has an answer while these two wait.
      const early = await Promise.race([...asking, new Promise((resolve) => setTimeout(resolve, 50))])
      expect(early).toBeUndefined()
      expect(asked.questions.map(({ session }) => session.sid).sort()).toEqual(['one', 'two'])
      for (const answer of waiting) answer(true)
      expect((await Promise.all(asking)).map(({ status }) => status)).toEqual(Array(6).fill(200))
      // Not remembered: the next refresh asks again.
      const next = (await asking[0])?.body.refresh_token
      const last = world.refresh(next)
      while (asked.questions.length < 3) await new Promise((resolve) => setImmediate(resolve))
      waiting.at(-1)?.(true)
      expect((await last).status).toBe(200)
    })
  })

  test('refreshes at once of a session that has ended: all are refused, and it ended once', () => {
    const waiting: ((lives: boolean) => void)[] = []
    const asked = asking(() => new Promise<boolean>((resolve) => waiting.push(resolve)))
    return withChecks(asked, async (world) => {
      const families = [await tokensIn(world), await tokensIn(world), await tokensIn(world)]
      const asking = families.map(({ refresh_token: token }) => world.refresh(token))
      while (waiting.length < 1) await new Promise((resolve) => setImmediate(resolve))
      await new Promise((resolve) => setTimeout(resolve, 50))
      for (const answer of waiting) answer(false)
      for (const answer of await Promise.all(asking)) expectRefused(answer, 'invalid_grant')
      expect(world.eventsNamed('idp_session.ended')).toHaveLength(1)
    })
  })

  test('nobody is asked about a stranger’s token, another client’s, a spent one, or an unbound client’s', () => {
    const asked = asking(() => false)
    return withChecks(
      asked,
      async (world) => {
        const tokens = await tokensIn(world)
        const free = (await publicTokens(world)).body
        expect((await world.refresh(free.refresh_token, { client_id: 'public' })).status).toBe(200)
        expectRefused(await world.refresh(tokens.refresh_token, { client_id: 'public' }), 'invalid_grant')
        expectRefused(
          await world.refresh(
            `${tokens.refresh_token.slice(0, -2)}${tokens.refresh_token.endsWith('AA') ? 'BA' : 'AA'}`,
          ),
          'invalid_grant',
        )
        expectRefused(await world.refresh(tokens.refresh_token, { scope: 'c' }), 'invalid_scope')
        expect(asked.questions).toEqual([])
        asked.answer = () => true
        const { body } = await world.refresh(tokens.refresh_token)
        world.clock.advance(11)
        expectRefused(await world.refresh(tokens.refresh_token), 'invalid_grant')
        expectRefused(await world.refresh(body.refresh_token), 'invalid_grant')
        expect(asked.questions).toHaveLength(1)
      },
      clients({}, { refreshTokens: { boundToIdpSession: false } }),
    )
  })

  test('nobody is asked about a session of which the end is known here', () => {
    const asked = asking(() => true)
    return withChecks(asked, async (world) => {
      const tokens = await tokensIn(world)
      await world.aat.idpSessions.end({ issuer: IDP, sid: 'one' })
      expectRefused(await world.refresh(tokens.refresh_token), 'invalid_grant')
      expect(asked.questions).toHaveLength(0)
    })
  })

  test('a user without a session is not asked about', () => {
    const asked = asking(() => false)
    return withWorld(
      bound({ whenIdpSessionEndUnknown: 'use-lifetime' }, { idpSessions: asked.options }),
      async (world) => {
        const { body } = await world.signInAndGetTokens({ scope: 'a' })
        expect((await world.refresh(body.refresh_token)).status).toBe(200)
        expect(asked.questions).toEqual([])
      },
    )
  })
})
