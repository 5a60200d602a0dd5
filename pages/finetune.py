"""Fine-tune a base with LoRA on private samples: form, visibility, diagnostics."""

from pages.components.workbench import workbench

workbench("finetune")
