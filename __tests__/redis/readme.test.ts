import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { tokenHash } from '../../lib/protocol/digest.ts'
import { aclLine } from '../../lib/stores/redis/acl.ts'
import { keysOf } from '../../lib/stores/redis/keys.ts'

const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')

test('the ACL line of the README is the one that the stores need, and that the tests run with', () => {
  const lines = readme.split('\n').filter((line) => line.includes('ACL SETUSER'))
  expect(lines.map((line) => line.trim())).toEqual([aclLine('aat:')])
})

test('the README tells of every kind of key', () => {
  const keys = keysOf('aat:')
  const named = [
    keys.code('x'),
    keys.family('x'),
    keys.list({ subject: 'x' }),
    keys.list({ clientId: 'x' }),
    keys.list({ idpSession: { issuer: 'x', sid: 'x' } }),
    keys.client('x'),
    keys.clientMark('x'),
    keys.clients,
    keys.request('x'),
    keys.taken('x'),
    keys.consents('x'),
    keys.claim('x'),
    keys.counter('x'),
    keys.accessToken({ home: 'x', hash: tokenHash('x') }),
    keys.uses('x'),
    keys.document('x'),
    keys.places('x'),
    keys.initialToken('x'),
    keys.initialTokenRevocation('x'),
    keys.initialTokens,
    keys.ring,
    ...Object.values(keys.log),
    keys.instances,
    keys.probe,
  ]
  const others = [
    'code',
    'family',
    'list',
    'client',
    'clientMark',
    'clientHash',
    'clients',
    'request',
    'taken',
    'consents',
  ]
  const more = [
    'consentField',
    'claim',
    'counter',
    'ring',
    'log',
    'hints',
    'instances',
    'probe',
    'accessToken',
    'uses',
    'document',
    'places',
    'initialToken',
    'initialTokenRevocation',
    'initialTokens',
  ]
  expect(Object.keys(keys).sort()).toEqual([...others, ...more].sort())
  const [, table = ''] = readme.split('### What is in it')
  const [section = ''] = table.split('\n### ')
  for (const key of named) expect(section).toContain(`:${key.slice(key.lastIndexOf(':') + 1)}\``)
})
