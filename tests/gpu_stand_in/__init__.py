"""A GPU that is not there: CUDA's runtime, TensorRT and what torch says of CUDA, played on the host.

It holds to the rules that the libraries document, and one that is broken is a `RuleBroken` that names the rule and its
document. It computes with ONNX Runtime on the CPU, so pictures can be compared. What is queued on a stream is done when
the stream is awaited and no sooner, so a result that is read too early is seen.
"""
