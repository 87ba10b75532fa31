"""The sandbox as ImageKit's official Python SDK sees it, started by `tests/sdk/run`.

Two sandboxes are running. The SDK's own variables, IMAGE_KIT_BASE_URL, IMAGEKIT_PRIVATE_KEY and
IMAGEKIT_WEBHOOK_SECRET, point to the first. The second, at STRICT_BASE_URL, accepts one write in
several minutes and responds to a wrong key with 403. The SDK validates every result against its
types.
"""

import json
import os
import unittest
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer

import imagekitio
from imagekitio import ImageKit
from imagekitio.types import CustomMetadataField, File, FileUpdateEvent
from imagekitio.types.accounts import Webhook
from imagekitio.types.shared import SavedExtension
from standardwebhooks import WebhookVerificationError

client = ImageKit(max_retries=0, _strict_response_validation=True)
strict = client.with_options(base_url=os.environ["STRICT_BASE_URL"])

FILES = client.assets.list(sort="ASC_CREATED", limit=1000)
unused = iter(FILES)

TODAY = datetime.now(timezone.utc).date()
DAY = timedelta(days=1)
TAGGING = {"name": "google-auto-tagging", "minConfidence": 50, "maxTags": 3}


def unused_file_id() -> str:
    """The id of a file that no other test uses."""
    return next(unused).file_id


def file_with_ai_tags() -> File:
    """A file with AI tags. Tagging fails for one file in sixteen: this retries with another."""
    while True:
        file = client.files.update(unused_file_id(), extensions=[TAGGING])
        if file.extension_status.google_auto_tagging == "success":
            return file


class Receiver(BaseHTTPRequestHandler):
    """Records the body and headers of every callback."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((body.decode(), dict(self.headers)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def callback_of_settled_extension() -> tuple[str, dict[str, str]]:
    """The callback of a pending extension that succeeded. One in sixteen fails and is retried."""
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.received, server.timeout = [], 10
        url = f"http://127.0.0.1:{server.server_port}/done"
        while True:
            extensions = [{"name": "remove-bg"}]
            file = client.files.update(unused_file_id(), extensions=extensions, webhook_url=url)
            if file.extension_status.remove_bg == "pending":
                server.handle_request()
                body, headers = server.received.pop()
                if json.loads(body)["status"] == "SUCCESS":
                    return body, headers


def event_of_update(webhook_events: list[str], **changes) -> tuple[Webhook, str, dict[str, str]]:
    """A webhook of the account, and the body and headers of its event when a file is updated."""
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.received, server.timeout = [], 10
        endpoint = f"http://127.0.0.1:{server.server_port}/events"
        webhook = client.accounts.webhooks.create(endpoint=endpoint, events=webhook_events)
        try:
            client.files.update(unused_file_id(), **changes)
            server.handle_request()
            return webhook, *server.received.pop()
        finally:
            client.accounts.webhooks.delete(webhook.id)


class UpdateDetails(unittest.TestCase):
    def test_tags_are_replaced_and_null_clears_them(self):
        file_id = unused_file_id()
        self.assertEqual(client.files.update(file_id, tags=["a", "b"]).tags, ["a", "b"])
        self.assertEqual(client.files.update(file_id, tags=["c"]).tags, ["c"])
        self.assertIsNone(client.files.update(file_id, tags=None).tags)

    def test_coordinates_are_set_and_null_clears_them(self):
        file_id = unused_file_id()
        file = client.files.update(file_id, custom_coordinates="10,10,100,100")
        self.assertEqual(file.custom_coordinates, "10,10,100,100")
        self.assertIsNone(client.files.update(file_id, custom_coordinates=None).custom_coordinates)

    def test_metadata_of_every_type_merges(self):
        file_id = unused_file_id()
        values = {
            "brand": "Nike",
            "caption": "two\nlines",
            "price": 12.5,
            "rights_until": "2030-01-31T00:00:00.000Z",
            "approved": False,
            "size": 30,
            "color": "red",
            "channels": ["web", 2024, False],
        }
        for name, value in values.items():
            client.files.update(file_id, custom_metadata={name: value})
        self.assertEqual(client.files.get(file_id).custom_metadata, values)
        file = client.files.update(file_id, custom_metadata={"brand": None})
        del values["brand"]
        self.assertEqual(file.custom_metadata, values)

    def test_description_is_stored_and_not_nullable(self):
        file_id = unused_file_id()
        self.assertEqual(client.files.update(file_id, description="new").description, "new")
        with self.assertRaises(imagekitio.BadRequestError):
            client.files.update(file_id, description=None)

    def test_ai_tags_are_removed_by_name_or_all(self):
        file = file_with_ai_tags()
        first, *others = [tag.name for tag in file.ai_tags]
        file = client.files.update(file.file_id, remove_ai_tags=[first])
        self.assertEqual([tag.name for tag in file.ai_tags], others)
        self.assertIsNone(client.files.update(file.file_id, remove_ai_tags="all").ai_tags)

    def test_every_extension_has_a_status(self):
        tasks = [
            {"type": "select_tags", "instruction": "What is it?", "vocabulary": ["shirt", "shoe"]},
            {"type": "select_metadata", "instruction": "Which colour?", "field": "color"},
            {
                "type": "yes_no",
                "instruction": "Is it new?",
                "on_yes": {"set_metadata": [{"field": "approved", "value": True}]},
                "on_no": {"unset_metadata": [{"field": "approved"}]},
            },
        ]
        extensions = [
            {"name": "remove-bg", "options": {"add_shadow": True}},
            {"name": "aws-auto-tagging", "minConfidence": 80, "maxTags": 5},
            {"name": "ai-auto-description"},
            {"name": "ai-tasks", "tasks": tasks},
            {"name": "saved-extension", "id": "ext_tagging"},
        ]
        file = client.files.update(
            unused_file_id(), extensions=extensions, webhook_url="https://example.com/done"
        )
        status = file.extension_status.to_dict()
        names = [
            "ai-auto-description",
            "ai-tasks",
            "aws-auto-tagging",
            "google-auto-tagging",
            "remove-bg",
        ]
        self.assertEqual(sorted(status), names)
        self.assertIn(status["remove-bg"], ["pending", "failed"])

    def test_ai_tag_has_name_confidence_and_source(self):
        for tag in file_with_ai_tags().ai_tags:
            self.assertTrue(tag.name)
            self.assertGreaterEqual(tag.confidence, TAGGING["minConfidence"])
            self.assertEqual(tag.source, "google-auto-tagging")

    def test_publish_cannot_be_combined_with_other_fields(self):
        file_id = unused_file_id()
        publish = {"is_published": False, "include_file_versions": True}
        self.assertIs(client.files.update(file_id, publish=publish).is_published, False)
        file = client.files.update(file_id, publish={"is_published": True})
        self.assertIs(file.is_published, True)
        with self.assertRaises(imagekitio.BadRequestError):
            client.files.update(file_id, publish={"is_published": True}, tags=["a"])


class Reading(unittest.TestCase):
    def test_details_are_typed_and_equal_the_listed_file(self):
        listed = FILES[-1]
        file = client.files.get(listed.file_id)
        self.assertEqual(file.to_dict(), listed.to_dict())
        self.assertIsInstance(file, File)
        self.assertEqual(file.type, "file")
        self.assertIsInstance(file.created_at, datetime)
        self.assertEqual(file.version_info.id, file.file_id)
        self.assertTrue(file.url.startswith("https://"))

    def test_pages_cover_the_list_in_order(self):
        pages = []
        while page := client.assets.list(type="file", limit=7, skip=len(pages)):
            pages += page
        self.assertEqual([file.file_id for file in pages], [file.file_id for file in FILES])
        newest = client.assets.list(sort="DESC_CREATED", limit=1)
        self.assertEqual(newest[0].file_id, FILES[-1].file_id)

    def test_search_finds_ids_and_paths(self):
        first, last = FILES[0], FILES[-1]
        query = f'type = "file" AND id IN ["{last.file_id}", "{first.file_id}"]'
        found = client.assets.list(search_query=query, sort="ASC_CREATED")
        self.assertEqual([file.file_id for file in found], [first.file_id, last.file_id])
        folder = first.file_path.removesuffix(first.name)
        query = f'name = "{first.name}" AND path = "{folder}"'
        found = client.assets.list(search_query=query)
        self.assertEqual([file.file_id for file in found], [first.file_id])
        in_folder = client.assets.list(path=folder, file_type="image")
        self.assertTrue(all(file.file_path == folder + file.name for file in in_folder))

    def test_metadata_fields_are_typed(self):
        fields = client.custom_metadata_fields.list(include_deleted=False)
        self.assertTrue(all(isinstance(field, CustomMetadataField) for field in fields))
        types = {field.schema_.type for field in fields}
        every = ["Boolean", "Date", "MultiSelect", "Number", "SingleSelect", "Text", "Textarea"]
        self.assertEqual(sorted(types), every)
        size = next(field for field in fields if field.name == "size")
        self.assertEqual(size.label, "Size on label")
        self.assertIn(30, size.schema_.select_options)

    def test_saved_extensions_are_typed(self):
        saved = client.saved_extensions.list()
        self.assertTrue(all(isinstance(extension, SavedExtension) for extension in saved))
        self.assertEqual([extension.id for extension in saved], ["ext_tagging", "ext_colour"])
        self.assertEqual(saved[0].config.name, "google-auto-tagging")

    def test_files_are_sorted_by_duration_and_original_creation_date(self):
        newest = client.assets.list(sort="DESC_ORIGINAL_CREATION_DATE", limit=1)
        self.assertEqual(newest[0].file_id, FILES[-1].file_id)
        shortest = client.assets.list(sort="ASC_DURATION", limit=1)
        self.assertEqual(shortest[0].file_id, FILES[0].file_id)


class PathPolicies(unittest.TestCase):
    def test_schema_of_a_file_is_typed_and_enforced(self):
        file = client.files.get("with-path-policy")
        brand, color = (file.selected_fields_schema[name] for name in ["brand", "color"])
        self.assertTrue(brand.read_only and color.is_value_required)
        self.assertEqual(color.select_options, ["red", "blue"])
        client.files.update(file.file_id, custom_metadata={"color": "blue"})
        for values in [{"brand": "Acme"}, {"brand": None}, {"color": "green"}, {"color": None}]:
            with self.assertRaises(imagekitio.BadRequestError) as caught:
                client.files.update(file.file_id, custom_metadata=values)
            self.assertIn("path policy", caught.exception.body["message"])
        metadata = client.files.get(file.file_id).custom_metadata
        self.assertEqual(metadata, {"brand": "Nike", "color": "blue"})


class SavedExtensions(unittest.TestCase):
    def test_saved_extension_is_created_changed_applied_and_deleted(self):
        config = {**TAGGING, "name": "aws-auto-tagging"}
        created = client.saved_extensions.create(name="Tags", description="All", config=config)
        self.assertEqual(client.saved_extensions.get(created.id), created)
        changed = client.saved_extensions.update(created.id, name="Some tags")
        self.assertEqual((changed.name, changed.config), ("Some tags", created.config))
        extensions = [{"name": "saved-extension", "id": created.id}]
        file = client.files.update(unused_file_id(), extensions=extensions)
        self.assertEqual(list(file.extension_status.to_dict()), ["aws-auto-tagging"])
        self.assertIsNone(client.saved_extensions.delete(created.id))
        with self.assertRaises(imagekitio.NotFoundError):
            client.saved_extensions.get(created.id)
        with self.assertRaises(imagekitio.BadRequestError):
            client.files.update(unused_file_id(), extensions=extensions)

    def test_invalid_configuration_is_rejected(self):
        task = {"type": "yes_no", "instruction": "New?", "on_unknown": {"add_tags": ["unsure"]}}
        with self.assertRaises(imagekitio.BadRequestError) as caught:
            client.saved_extensions.create(
                name="New", description="", config={"name": "ai-tasks", "tasks": [task]}
            )
        self.assertIn("on_yes", caught.exception.body["message"])


class Usage(unittest.TestCase):
    def test_units_per_run_can_be_measured(self):
        def units(days_before: int) -> int:
            # Reports are cached by their dates.
            start = TODAY - timedelta(days=days_before)
            usage = client.accounts.usage.get(start_date=start, end_date=TODAY + 2 * DAY)
            return usage.extension_units_count

        def runs(days_before: int) -> int:
            start = TODAY - timedelta(days=days_before)
            report = client.accounts.usage_analytics.get(start_date=start, end_date=TODAY + DAY)
            counts = {count.name: count.operation_count for count in report.extensions}
            return counts.get("ai-tasks", 0)

        units_before, runs_before = units(1), runs(1)
        tasks = [{"type": "select_tags", "instruction": "What is it?"}]
        for _ in range(3):
            client.files.update(
                unused_file_id(), extensions=[{"name": "ai-tasks", "tasks": tasks}]
            )
        self.assertEqual(runs(2) - runs_before, 3)
        self.assertEqual(units(2) - units_before, 3 * 7)

    def test_dates_are_at_most_90_days_apart(self):
        for resource in [client.accounts.usage, client.accounts.usage_analytics]:
            with self.assertRaises(imagekitio.BadRequestError):
                resource.get(start_date=TODAY - 90 * DAY, end_date=TODAY)


class Webhooks(unittest.TestCase):
    def test_webhook_is_created_changed_and_deleted(self):
        webhooks = client.accounts.webhooks
        created = webhooks.create(endpoint="https://example.com/", events=["file.updated"])
        self.assertTrue(created.enabled and created.secret.startswith("whsec_"))
        changed = webhooks.update(created.id, enabled=False)
        self.assertEqual((changed.enabled, changed.secret), (False, created.secret))
        self.assertEqual(webhooks.list(), [changed])
        self.assertEqual(webhooks.get(created.id), changed)
        self.assertIsNone(webhooks.delete(created.id))
        self.assertEqual(webhooks.list(), [])

    def test_event_unwraps_with_the_secret_of_its_webhook(self):
        webhook, body, headers = event_of_update(["file.updated"], description="told")
        event = client.webhooks.unwrap(body, headers=headers, key=webhook.secret)
        self.assertIsInstance(event, FileUpdateEvent)
        self.assertEqual(event.data.description, "told")
        self.assertEqual(event.id, headers["webhook-id"])
        for wrong in ["whsec_other", "whsec_sandbox"]:
            with self.assertRaises(WebhookVerificationError):
                client.webhooks.unwrap(body, headers=headers, key=wrong)


class BulkTags(unittest.TestCase):
    def test_tags_are_added_and_removed_in_bulk(self):
        ids = [unused_file_id(), unused_file_id()]
        for file_id in ids:
            client.files.update(file_id, tags=["old"])
        done = client.files.bulk.add_tags(file_ids=ids, tags=["new"])
        self.assertEqual(done.successfully_updated_file_ids, ids)
        self.assertEqual([client.files.get(id).tags for id in ids], [["old", "new"]] * 2)
        done = client.files.bulk.remove_tags(file_ids=ids, tags=["old", "none"])
        self.assertEqual(done.successfully_updated_file_ids, ids)
        self.assertEqual([client.files.get(id).tags for id in ids], [["new"]] * 2)

    def test_ai_tags_are_removed_in_bulk(self):
        file = file_with_ai_tags()
        names = [tag.name for tag in file.ai_tags]
        done = client.files.bulk.remove_ai_tags(file_ids=[file.file_id], ai_tags=names)
        self.assertEqual(done.successfully_updated_file_ids, [file.file_id])
        self.assertIsNone(client.files.get(file.file_id).ai_tags)

    def test_partial_failure_is_a_207(self):
        full, free = unused_file_id(), unused_file_id()
        client.files.update(full, tags=["x" * 495])
        response = client.files.bulk.with_raw_response.add_tags(
            file_ids=[full, free], tags=["too long"]
        )
        self.assertEqual(response.status_code, 207)
        done = response.parse()
        self.assertEqual(done.successfully_updated_file_ids, [free])
        (refused,) = done.to_dict()["errors"]
        self.assertEqual(refused["fileId"], full)
        self.assertIn("500", refused["error"])

    def test_one_missing_file_gives_404_without_changes(self):
        file_id = unused_file_id()
        before = client.files.get(file_id)
        bulk = client.files.bulk
        calls = [
            lambda ids: bulk.add_tags(file_ids=ids, tags=["new"]),
            lambda ids: bulk.remove_tags(file_ids=ids, tags=["new"]),
            lambda ids: bulk.remove_ai_tags(file_ids=ids, ai_tags=["new"]),
        ]
        for call in calls:
            with self.assertRaises(imagekitio.NotFoundError) as caught:
                call([file_id, "no-such-file"])
            self.assertEqual(caught.exception.body["missingFileIds"], ["no-such-file"])
        self.assertEqual(client.files.get(file_id), before)

    def test_more_than_50_files_are_rejected(self):
        with self.assertRaises(imagekitio.BadRequestError) as caught:
            client.files.bulk.add_tags(file_ids=["a"] * 51, tags=["new"])
        message = "A maximum of 50 files can be edited at a time."
        self.assertEqual(caught.exception.body["message"], message)


class Callbacks(unittest.TestCase):
    def test_callback_contains_the_current_file(self):
        body, _ = callback_of_settled_extension()
        callback = json.loads(body)
        self.assertEqual(callback["service"], "remove-bg")
        file = client.files.get(callback["fileObject"]["fileId"])
        self.assertEqual(file.version_info.name, "Version 2")
        self.assertEqual(file.version_info.to_dict(), callback["fileObject"]["versionInfo"])

    def test_callback_signature_verifies(self):
        body, headers = callback_of_settled_extension()
        client.webhooks.unwrap(body, headers=headers)
        with self.assertRaises(WebhookVerificationError):
            client.webhooks.unwrap(body + " ", headers=headers)
        with self.assertRaises(WebhookVerificationError):
            client.webhooks.unwrap(body, headers=headers, key="whsec_other")


class Errors(unittest.TestCase):
    def test_400_lists_invalid_metadata(self):
        with self.assertRaises(imagekitio.BadRequestError) as caught:
            client.files.update(unused_file_id(), custom_metadata={"price": "12", "unknown": 1})
        body = caught.exception.body
        self.assertEqual(body["message"], "Invalid custom metadata.")
        self.assertEqual(sorted(body["errors"]), ["price", "unknown"])

    def test_401_for_a_wrong_key(self):
        other = client.with_options(private_key="private_other")
        with self.assertRaises(imagekitio.AuthenticationError) as caught:
            other.files.get(unused_file_id())
        message = "Your request does not contain private API key."
        self.assertEqual(caught.exception.body["message"], message)

    def test_403_for_a_wrong_key_if_configured(self):
        other = strict.with_options(private_key="private_other")
        with self.assertRaises(imagekitio.PermissionDeniedError) as caught:
            other.assets.list()
        message = "Your account cannot be authenticated."
        self.assertEqual(caught.exception.body["message"], message)

    def test_404_for_a_missing_file(self):
        for call in [client.files.get, client.files.update]:
            with self.assertRaises(imagekitio.NotFoundError) as caught:
                call("no-such-file", extra_body={"tags": ["a"]})
            body = caught.exception.body
            self.assertEqual(body["message"], "The requested file does not exist.")

    def test_429_states_when_to_retry(self):
        file_id = unused_file_id()
        strict.files.update(file_id, description="within the limit")
        with self.assertRaises(imagekitio.RateLimitError) as caught:
            strict.files.update(file_id, description="over the limit")
        headers = caught.exception.response.headers
        self.assertGreater(int(headers["X-RateLimit-Reset"]), 0)
        self.assertGreater(int(headers["X-RateLimit-Interval"]), 0)
        self.assertEqual(headers["X-RateLimit-Limit"], "1")
        self.assertTrue(headers["x-ik-requestid"])


if __name__ == "__main__":
    unittest.main()
