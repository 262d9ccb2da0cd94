.PHONY: demo docs test

demo: .setup
	.venv/bin/nearfar demo

docs: .setup
	tools/docs

test: .setup
	tools/test

.PHONY: .setup
.setup:
	@tools/setup
