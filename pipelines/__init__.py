"""sliceweave.pipelines"""
