// The sandbox as ImageKit's official Node SDK sees it, started by `tests/sdk/run`.
//
// Two sandboxes are running. The SDK's own variables, IMAGE_KIT_BASE_URL, IMAGEKIT_PRIVATE_KEY and
// IMAGEKIT_WEBHOOK_SECRET, point to the first. The second, at STRICT_BASE_URL, accepts one write in
// several minutes and responds to a wrong key with 403.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { suite, test } from 'node:test';
import ImageKit from '@imagekit/nodejs';

const client = new ImageKit({ maxRetries: 0 });
const strict = client.withOptions({ baseURL: process.env.STRICT_BASE_URL });

const files = await client.assets.list({ sort: 'ASC_CREATED', limit: 1000 });
const unused = files.values();

const TAGGING = { name: 'google-auto-tagging', minConfidence: 50, maxTags: 3 };

/** The id of a file that no other test uses. */
const unusedFileId = () => unused.next().value.fileId;

/** A file with AI tags. Tagging fails for one file in sixteen, so this retries with another file. */
async function fileWithAiTags() {
  for (;;) {
    const file = await client.files.update(unusedFileId(), { extensions: [TAGGING] });
    if (file.extensionStatus['google-auto-tagging'] === 'success') return file;
  }
}

/** The callback of a pending extension that succeeded. One in sixteen fails and is retried. */
async function callbackOfSettledExtension() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const webhookUrl = `http://127.0.0.1:${server.address().port}/done`;
  try {
    for (;;) {
      const call = once(server, 'request');
      const extensions = [{ name: 'remove-bg' }];
      const file = await client.files.update(unusedFileId(), { extensions, webhookUrl });
      if (file.extensionStatus['remove-bg'] !== 'pending') continue;
      const [request, response] = await call;
      const body = await text(request);
      response.end();
      if (JSON.parse(body).status === 'SUCCESS') return { body, headers: request.headers };
    }
  } finally {
    server.close();
  }
}

/** A webhook of the account. This version of the SDK has no resource for them. */
const createWebhook = (body) => client.post('/v1/accounts/webhooks', { body });

/** A webhook, and the body and headers of its event when a file is updated. */
async function eventOfUpdate(changes) {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = `http://127.0.0.1:${server.address().port}/events`;
  const webhook = await createWebhook({ endpoint, events: ['file.updated'] });
  try {
    const call = once(server, 'request');
    await client.files.update(unusedFileId(), changes);
    const [request, response] = await call;
    const body = await text(request);
    response.end();
    return { webhook, body, headers: request.headers };
  } finally {
    await client.delete(`/v1/accounts/webhooks/${webhook.id}`, { headers: { Accept: '*/*' } });
    server.close();
  }
}

/** The date some days from today, in UTC. */
const day = (days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);

const names = (tags) => tags.map((tag) => tag.name);
const ids = (list) => list.map((file) => file.fileId);

/** The error of a call that must fail with an error of this class. */
async function errorOf(call, type) {
  const error = await call().then(
    () => assert.fail('the call should fail'),
    (error) => error,
  );
  assert.ok(error instanceof type, `${error} should be a ${type.name}`);
  return error;
}

suite('update details', () => {
  test('tags are replaced and null clears them', async () => {
    const id = unusedFileId();
    assert.deepEqual((await client.files.update(id, { tags: ['a', 'b'] })).tags, ['a', 'b']);
    assert.deepEqual((await client.files.update(id, { tags: ['c'] })).tags, ['c']);
    assert.equal((await client.files.update(id, { tags: null })).tags, null);
  });

  test('coordinates are set and null clears them', async () => {
    const id = unusedFileId();
    const file = await client.files.update(id, { customCoordinates: '10,10,100,100' });
    assert.equal(file.customCoordinates, '10,10,100,100');
    const without = await client.files.update(id, { customCoordinates: null });
    assert.equal(without.customCoordinates, null);
  });

  test('metadata of every type merges', async () => {
    const id = unusedFileId();
    const values = {
      brand: 'Nike',
      caption: 'two\nlines',
      price: 12.5,
      rights_until: '2030-01-31T00:00:00.000Z',
      approved: false,
      size: 30,
      color: 'red',
      channels: ['web', 2024, false],
    };
    for (const [name, value] of Object.entries(values)) {
      await client.files.update(id, { customMetadata: { [name]: value } });
    }
    assert.deepEqual((await client.files.get(id)).customMetadata, values);
    const { brand, ...rest } = values;
    const file = await client.files.update(id, { customMetadata: { brand: null } });
    assert.deepEqual(file.customMetadata, rest);
  });

  test('description is stored and not nullable', async () => {
    const id = unusedFileId();
    const file = await client.files.update(id, { description: 'new' });
    assert.equal(file.description, 'new');
    const clear = () => client.files.update(id, { description: null });
    await errorOf(clear, ImageKit.BadRequestError);
  });

  test('AI tags are removed by name or all', async () => {
    const file = await fileWithAiTags();
    const [first, ...others] = names(file.AITags);
    const some = await client.files.update(file.fileId, { removeAITags: [first] });
    assert.deepEqual(names(some.AITags), others);
    const none = await client.files.update(file.fileId, { removeAITags: 'all' });
    assert.equal(none.AITags, null);
  });

  test('every extension has a status', async () => {
    const tasks = [
      { type: 'select_tags', instruction: 'What is it?', vocabulary: ['shirt', 'shoe'] },
      { type: 'select_metadata', instruction: 'Which colour?', field: 'color' },
      {
        type: 'yes_no',
        instruction: 'Is it new?',
        on_yes: { set_metadata: [{ field: 'approved', value: true }] },
        on_no: { unset_metadata: [{ field: 'approved' }] },
      },
    ];
    const file = await client.files.update(unusedFileId(), {
      webhookUrl: 'https://example.com/done',
      extensions: [
        { name: 'remove-bg', options: { add_shadow: true } },
        { name: 'aws-auto-tagging', minConfidence: 80, maxTags: 5 },
        { name: 'ai-auto-description' },
        { name: 'ai-tasks', tasks },
        { name: 'saved-extension', id: 'ext_tagging' },
      ],
    });
    assert.deepEqual(Object.keys(file.extensionStatus).sort(), [
      'ai-auto-description',
      'ai-tasks',
      'aws-auto-tagging',
      'google-auto-tagging',
      'remove-bg',
    ]);
    assert.ok(['pending', 'failed'].includes(file.extensionStatus['remove-bg']));
  });

  test('AI tag has name, confidence and source', async () => {
    for (const tag of (await fileWithAiTags()).AITags) {
      assert.ok(tag.name);
      assert.ok(tag.confidence >= TAGGING.minConfidence);
      assert.equal(tag.source, 'google-auto-tagging');
    }
  });

  test('publish cannot be combined with other fields', async () => {
    const id = unusedFileId();
    const publish = { isPublished: false, includeFileVersions: true };
    assert.equal((await client.files.update(id, { publish })).isPublished, false);
    const file = await client.files.update(id, { publish: { isPublished: true } });
    assert.equal(file.isPublished, true);
    const both = { publish: { isPublished: true }, tags: ['a'] };
    await errorOf(() => client.files.update(id, both), ImageKit.BadRequestError);
  });
});

suite('reading', () => {
  test('details equal the listed file', async () => {
    const listed = files.at(-1);
    const file = await client.files.get(listed.fileId);
    assert.deepEqual(file, listed);
    assert.equal(file.type, 'file');
    assert.equal(file.versionInfo.id, file.fileId);
    assert.ok(file.url.startsWith('https://'));
  });

  test('pages cover the list in order', async () => {
    const pages = [];
    for (let page; page?.length !== 0; pages.push(...page)) {
      page = await client.assets.list({ type: 'file', limit: 7, skip: pages.length });
    }
    assert.deepEqual(ids(pages), ids(files));
    const newest = await client.assets.list({ sort: 'DESC_CREATED', limit: 1 });
    assert.deepEqual(ids(newest), [files.at(-1).fileId]);
  });

  test('search finds ids and paths', async () => {
    const [first, last] = [files[0], files.at(-1)];
    const list = `type = "file" AND id IN ["${last.fileId}", "${first.fileId}"]`;
    const both = await client.assets.list({ searchQuery: list, sort: 'ASC_CREATED' });
    assert.deepEqual(ids(both), [first.fileId, last.fileId]);
    const folder = first.filePath.slice(0, -first.name.length);
    const place = `name = "${first.name}" AND path = "${folder}"`;
    assert.deepEqual(ids(await client.assets.list({ searchQuery: place })), [first.fileId]);
    const inFolder = await client.assets.list({ path: folder, fileType: 'image' });
    assert.ok(inFolder.every((file) => file.filePath === folder + file.name));
  });

  test('metadata fields have every type', async () => {
    const fields = await client.customMetadataFields.list({ includeDeleted: false });
    assert.deepEqual(
      [...new Set(fields.map((field) => field.schema.type))].sort(),
      ['Boolean', 'Date', 'MultiSelect', 'Number', 'SingleSelect', 'Text', 'Textarea'],
    );
    const size = fields.find((field) => field.name === 'size');
    assert.equal(size.label, 'Size on label');
    assert.ok(size.schema.selectOptions.includes(30));
  });

  test('saved extensions have id and configuration', async () => {
    const saved = await client.savedExtensions.list();
    assert.deepEqual(saved.map((extension) => extension.id), ['ext_tagging', 'ext_colour']);
    assert.equal(saved[0].config.name, 'google-auto-tagging');
  });
});

suite('path policies', () => {
  test('schema of a file is enforced', async () => {
    const { fileId, selectedFieldsSchema } = await client.files.get('with-path-policy');
    assert.deepEqual(selectedFieldsSchema.brand, { type: 'Text', readOnly: true });
    const set = (customMetadata) => client.files.update(fileId, { customMetadata });
    await set({ color: 'blue' });
    for (const values of [{ brand: 'Acme' }, { brand: null }, { color: 'green' }, { color: null }]) {
      const { error } = await errorOf(() => set(values), ImageKit.BadRequestError);
      assert.match(error.message, /path policy/);
    }
    const { customMetadata } = await client.files.get(fileId);
    assert.deepEqual(customMetadata, { brand: 'Nike', color: 'blue' });
  });
});

suite('saved extensions', () => {
  test('saved extension is created, changed, applied and deleted', async () => {
    const { savedExtensions } = client;
    const config = { ...TAGGING, name: 'aws-auto-tagging' };
    const created = await savedExtensions.create({ name: 'Tags', description: 'All', config });
    assert.deepEqual(created.config, config);
    assert.deepEqual(await savedExtensions.get(created.id), created);
    const changed = await savedExtensions.update(created.id, { name: 'Some tags' });
    assert.deepEqual([changed.name, changed.config], ['Some tags', config]);
    const extensions = [{ name: 'saved-extension', id: created.id }];
    const file = await client.files.update(unusedFileId(), { extensions });
    assert.deepEqual(Object.keys(file.extensionStatus), ['aws-auto-tagging']);
    await savedExtensions.delete(created.id);
    await errorOf(() => savedExtensions.get(created.id), ImageKit.NotFoundError);
    const apply = () => client.files.update(unusedFileId(), { extensions });
    await errorOf(apply, ImageKit.BadRequestError);
  });
});

suite('usage', () => {
  test('units per run can be measured', async () => {
    // Reports are cached by their dates.
    const units = async (start) => {
      const query = { startDate: day(start), endDate: day(2) };
      return (await client.accounts.usage.get(query)).extensionUnitsCount;
    };
    const runs = async (start) => {
      const query = { startDate: day(start), endDate: day(1) };
      const { extensions } = await client.accounts.usageAnalytics.get(query);
      return extensions.find(({ name }) => name === 'ai-tasks')?.operationCount ?? 0;
    };
    const before = { units: await units(-1), runs: await runs(-1) };
    const tasks = [{ type: 'select_tags', instruction: 'What is it?' }];
    for (let run = 0; run < 3; run += 1) {
      const extensions = [{ name: 'ai-tasks', tasks }];
      await client.files.update(unusedFileId(), { extensions });
    }
    assert.equal((await runs(-2)) - before.runs, 3);
    assert.equal((await units(-2)) - before.units, 3 * 7);
  });
});

suite('webhooks', () => {
  test('event unwraps with the secret of its webhook', async () => {
    const { webhook, body, headers } = await eventOfUpdate({ description: 'told' });
    const event = client.webhooks.unwrap(body, { headers, key: webhook.secret });
    assert.equal(event.type, 'file.updated');
    assert.equal(event.data.description, 'told');
    assert.equal(event.id, headers['webhook-id']);
    for (const key of ['whsec_other', 'whsec_sandbox']) {
      assert.throws(() => client.webhooks.unwrap(body, { headers, key }), /signature/);
    }
  });

  test('account has at most three webhooks', async () => {
    const events = ['file.updated', 'file-version.created'];
    const created = [];
    for (const name of ['a', 'b', 'c']) {
      created.push(await createWebhook({ endpoint: `https://example.com/${name}`, events }));
    }
    const fourth = () => createWebhook({ endpoint: 'https://example.com/d', events });
    await errorOf(fourth, ImageKit.BadRequestError);
    for (const { id } of created) await client.delete(`/v1/accounts/webhooks/${id}`);
    assert.deepEqual(await client.get('/v1/accounts/webhooks'), []);
  });
});

suite('bulk tags', () => {
  const tagsOf = async (list) =>
    Promise.all(list.map(async (id) => (await client.files.get(id)).tags));

  test('tags are added and removed in bulk', async () => {
    const fileIds = [unusedFileId(), unusedFileId()];
    for (const id of fileIds) await client.files.update(id, { tags: ['old'] });
    const added = await client.files.bulk.addTags({ fileIds, tags: ['new'] });
    assert.deepEqual(added.successfullyUpdatedFileIds, fileIds);
    assert.deepEqual(await tagsOf(fileIds), [['old', 'new'], ['old', 'new']]);
    const removed = await client.files.bulk.removeTags({ fileIds, tags: ['old', 'none'] });
    assert.deepEqual(removed.successfullyUpdatedFileIds, fileIds);
    assert.deepEqual(await tagsOf(fileIds), [['new'], ['new']]);
  });

  test('AI tags are removed in bulk', async () => {
    const file = await fileWithAiTags();
    const fileIds = [file.fileId];
    const done = await client.files.bulk.removeAITags({ fileIds, AITags: names(file.AITags) });
    assert.deepEqual(done.successfullyUpdatedFileIds, fileIds);
    assert.equal((await client.files.get(file.fileId)).AITags, null);
  });

  test('partial failure is a 207', async () => {
    const [full, free] = [unusedFileId(), unusedFileId()];
    await client.files.update(full, { tags: ['x'.repeat(495)] });
    const order = { fileIds: [full, free], tags: ['too long'] };
    const { data, response } = await client.files.bulk.addTags(order).withResponse();
    assert.equal(response.status, 207);
    assert.deepEqual(data.successfullyUpdatedFileIds, [free]);
    assert.deepEqual(ids(data.errors), [full]);
    assert.match(data.errors[0].error, /500/);
  });

  test('one missing file gives 404 without changes', async () => {
    const id = unusedFileId();
    const before = await client.files.get(id);
    const fileIds = [id, 'no-such-file'];
    const { bulk } = client.files;
    for (const call of [
      () => bulk.addTags({ fileIds, tags: ['new'] }),
      () => bulk.removeTags({ fileIds, tags: ['new'] }),
      () => bulk.removeAITags({ fileIds, AITags: ['new'] }),
    ]) {
      const { error } = await errorOf(call, ImageKit.NotFoundError);
      assert.deepEqual(error.missingFileIds, ['no-such-file']);
    }
    assert.deepEqual(await client.files.get(id), before);
  });

  test('more than 50 files are rejected', async () => {
    const order = { fileIds: Array(51).fill('a'), tags: ['new'] };
    const call = () => client.files.bulk.addTags(order);
    const { error } = await errorOf(call, ImageKit.BadRequestError);
    assert.equal(error.message, 'A maximum of 50 files can be edited at a time.');
  });
});

suite('callbacks', () => {
  test('callback contains the current file', async () => {
    const callback = JSON.parse((await callbackOfSettledExtension()).body);
    assert.equal(callback.service, 'remove-bg');
    assert.equal(callback.fileObject.versionInfo.name, 'Version 2');
    assert.deepEqual(await client.files.get(callback.fileObject.fileId), callback.fileObject);
  });

  test('callback signature verifies', async () => {
    const { body, headers } = await callbackOfSettledExtension();
    const key = 'whsec_other';
    assert.deepEqual(client.webhooks.unwrap(body, { headers }), JSON.parse(body));
    assert.throws(() => client.webhooks.unwrap(`${body} `, { headers }), /signature/);
    assert.throws(() => client.webhooks.unwrap(body, { headers, key }), /signature/);
  });
});

suite('errors', () => {
  const other = { privateKey: 'private_other' };

  test('400 lists invalid metadata', async () => {
    const customMetadata = { price: '12', unknown: 1 };
    const call = () => client.files.update(unusedFileId(), { customMetadata });
    const { error } = await errorOf(call, ImageKit.BadRequestError);
    assert.equal(error.message, 'Invalid custom metadata.');
    assert.deepEqual(Object.keys(error.errors).sort(), ['price', 'unknown']);
  });

  test('401 for a wrong key', async () => {
    const call = () => client.withOptions(other).files.get(unusedFileId());
    const { error } = await errorOf(call, ImageKit.AuthenticationError);
    assert.equal(error.message, 'Your request does not contain private API key.');
  });

  test('403 for a wrong key if configured', async () => {
    const call = () => strict.withOptions(other).assets.list();
    const { error } = await errorOf(call, ImageKit.PermissionDeniedError);
    assert.equal(error.message, 'Your account cannot be authenticated.');
  });

  test('404 for a missing file', async () => {
    const { files } = client;
    for (const call of [
      () => files.get('no-such-file'),
      () => files.update('no-such-file', { tags: ['a'] }),
    ]) {
      const { error } = await errorOf(call, ImageKit.NotFoundError);
      assert.equal(error.message, 'The requested file does not exist.');
    }
  });

  test('429 states when to retry', async () => {
    const id = unusedFileId();
    await strict.files.update(id, { description: 'within the limit' });
    const call = () => strict.files.update(id, { description: 'over the limit' });
    const { headers } = await errorOf(call, ImageKit.RateLimitError);
    assert.ok(Number(headers.get('X-RateLimit-Reset')) > 0);
    assert.ok(Number(headers.get('X-RateLimit-Interval')) > 0);
    assert.equal(headers.get('X-RateLimit-Limit'), '1');
    assert.ok(headers.get('x-ik-requestid'));
  });
});
