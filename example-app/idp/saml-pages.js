/** @typedef {{ type: string, context: string, entityEndpoint: string, relayState?: string | undefined }} Posted */

/** @param {string} text */
export const escapeHtml = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

/** @param {import('express').Response} res @param {number} status @param {string} content */
export function sendPage(res, status, content) {
  res.setHeader('Cache-Control', 'no-store')
  res
    .status(status)
    .type('html')
    .send(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><title>Identity provider</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem}label{display:block;margin:.5rem 0}input{font:inherit;width:100%}button{font:inherit;padding:.5rem 1rem}</style>
<main>${content}</main></html>`)
}

/** @param {import('express').Response} res @param {string} handle @param {string} [problem] */
export function sendSignInPage(res, handle, problem = '') {
  sendPage(
    res,
    problem === '' ? 200 : 401,
    `<h1>Sign in to the identity provider</h1>${problem && `<p role="alert">${escapeHtml(problem)}</p>`}
<form method="post" action="/sso">
<input type="hidden" name="handle" value="${escapeHtml(handle)}">
<label>User name <input name="username" autocomplete="username" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button type="submit">Sign in</button>
</form>
<p>For trying out: alice / wonderland, or bob / builder.</p>`,
  )
}

/** A message by POST: a form that sends itself, or by its button. @param {import('express').Response} res @param {Posted} posted */
export function sendForm(res, { type, context, entityEndpoint, relayState }) {
  const relay = relayState ? `<input type="hidden" name="RelayState" value="${escapeHtml(relayState)}">` : ''
  sendPage(
    res,
    200,
    `<form method="post" action="${escapeHtml(entityEndpoint)}"><input type="hidden" name="${escapeHtml(type)}" value="${escapeHtml(context)}">${relay}<button type="submit">Continue</button></form>
<script>document.forms[0].submit()</script>`,
  )
}
