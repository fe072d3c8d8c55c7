import { describe, expect, test } from '@jest/globals'
import { sidOf } from '../../../lib/idp/saml-logout.ts'
import { readPosted } from '../../../lib/idp/saml-signature.ts'
import { readXml } from '../../../lib/idp/saml-xml.ts'

const base64 = (xml: string) => Buffer.from(xml).toString('base64')
const many = (count: number, text: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => text(index)).join('')

describe('what nobody has proven yet may not cost much', () => {
  test.each([
    ['prefixes', `<r ID="x"${many(9000, (n) => ` xmlns:a${n}=""`)}>${'<a/>'.repeat(999)}</r>`],
    ['prefixes, nested', `${many(30, (n) => `<r${n} ID="x"${many(3, (m) => ` xmlns:a${n}x${m}="u"`)}>`)}`],
    ['attributes', `<r ID="x"${many(65, (n) => ` a${n}=""`)}/>`],
    ['elements', `<r ID="x">${'<a/>'.repeat(1000)}</r>`],
    ['depth', '<a ID="x">'.repeat(40)],
  ])('%s', (_, xml) => {
    expect(() => readPosted(base64(xml))).toThrow('not plain, well-formed XML')
  })

  test('a logout message has fewer elements', () => {
    const xml = `<r ID="x">${'<a/>'.repeat(300)}</r>`
    expect(() => readXml(xml, 300)).toThrow('not plain, well-formed XML')
    expect(readXml(xml).children).toHaveLength(300)
  })
})

test('white space is that of XML: U+FEFF and U+1680 are letters or nothing', () => {
  for (const space of ['\uFEFF', '\u1680', '\u00A0', '\v'])
    expect(() => readXml(`<r a="1"${space}b="2"/>`)).toThrow()
  expect([...readXml('<r\ta="1"\r\nb="2" />').attributes.keys()]).toEqual(['a', 'b'])
})

test('saml-core-2.0-os §2.7.2: no two sessions have one name', () => {
  expect(sidOf('b', '1 of a')).not.toBe(sidOf('a of b', '1'))
  expect(sidOf('x'.repeat(400), 'y'.repeat(400))).toMatch(/^[\w-]{43}$/)
})
