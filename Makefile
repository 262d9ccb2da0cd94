.PHONY: demo test

demo: .setup
	.venv/bin/nearfar demo

test: .setup
	tools/test

.PHONY: .setup
.setup:
	@tools/setup
